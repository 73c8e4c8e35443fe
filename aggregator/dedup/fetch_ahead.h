// Memory asked for a little before it is needed.
#pragma once

namespace tally::aggregator::dedup {

// Of one cache line, to be read and perhaps written. Any address. The empty statement keeps it: g++
// 12 takes a function that does nothing but prefetch for one without effect, and leaves out its
// calls.
inline void fetch_ahead(const void* address) {
  __asm__ volatile("" : : "r"(address));
  __builtin_prefetch(address, 1);
}

}  // namespace tally::aggregator::dedup
