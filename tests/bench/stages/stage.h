// One benchmark's bookkeeping: how many events its timed part handled and what that took from the
// heap, beside the time that google-benchmark takes.
#pragma once

#include "tests/bench/stages/allocations.h"

#include <benchmark/benchmark.h>

#include <cstdint>

namespace tally::bench {

// What a stage is compared with; the text is the end of the baseline's own name.
inline constexpr const char* kMemcpy = "memcpy";
inline constexpr const char* kDomParse = "dom_parse";
inline constexpr const char* kDomParseData = "dom_parse_data";

// Counters of a run, as the report reads them.
inline constexpr const char* kEvents = "events";
inline constexpr const char* kAllocations = "allocations";
inline constexpr const char* kHeapBytes = "heap_bytes";
inline constexpr const char* kWallTime = "wall_time";  // there: what counts is not the CPU's time

// Lives around the loop over `state`; its end fills the run's counters. `read`: whose allocations
// are its own; those of all threads for a stage that has some.
class Stage {
 public:
  Stage(benchmark::State& state, const char* baseline, Allocated (*read)() = allocated)
      : state_(state), read_(read) {
    state.SetLabel(baseline);
    start_ = read_();
  }
  ~Stage() {
    Allocated taken = read_() - start_;
    taken = taken - aside_;
    state_.counters[kEvents] = static_cast<double>(events_);
    state_.counters[kAllocations] = static_cast<double>(taken.count);
    state_.counters[kHeapBytes] = static_cast<double>(taken.bytes);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void handled(std::size_t events) { events_ += static_cast<std::int64_t>(events); }

  // Neither timed nor counted. Inside the loop only.
  template <class Work>
  void aside(const Work& work) {
    state_.PauseTiming();
    const Allocated before = read_();
    work();
    aside_ += read_() - before;
    state_.ResumeTiming();
  }

 private:
  benchmark::State& state_;
  Allocated (*read_)();
  Allocated start_;
  Allocated aside_;
  std::int64_t events_ = 0;
};

}  // namespace tally::bench
