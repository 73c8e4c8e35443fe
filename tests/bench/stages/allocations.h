// Counts what this program takes from the heap: its own malloc stands in front of glibc's, so that
// operator new and the C libraries are counted alike. Memory that is mapped without malloc (large
// blocks of the dedup table) is not. This program alone has it: nothing that is shipped links it.
#pragma once

#include <cstdint>

namespace tally::bench {

struct Allocated {
  std::int64_t count = 0;
  std::int64_t bytes = 0;  // as asked for, whether they were given back or not

  friend Allocated operator-(const Allocated& a, const Allocated& b) {
    return {a.count - b.count, a.bytes - b.bytes};
  }
  Allocated& operator+=(const Allocated& other) {
    count += other.count;
    bytes += other.bytes;
    return *this;
  }
};

// By the calling thread, since it started.
[[nodiscard]] Allocated allocated();

// By all threads, since the program started.
[[nodiscard]] Allocated allocated_by_all();

}  // namespace tally::bench
