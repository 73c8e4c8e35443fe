// The timetable of a paced stream: record n is due at start + n / rate, whatever became of the ones
// before it. A broker that holds the load up for a while makes it late, never thin, and whoever
// measures from the moment a record was due sees the wait.
//
// The clock is CLOCK_MONOTONIC, which every process of one machine shares (Python:
// time.monotonic_ns()). Threads: const, any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace tally::generator {

class Pacer {
 public:
  using Clock = std::chrono::steady_clock;
  Pacer(std::int64_t records_per_second, Clock::time_point start)
      : rate_(records_per_second), start_(start) {}

  [[nodiscard]] Clock::time_point start() const { return start_; }
  [[nodiscard]] Clock::time_point due(std::int64_t number) const;
  // Returns at once when the record is due, otherwise within a millisecond of that. How late it is
  // then.
  Clock::duration await(std::int64_t number) const;

 private:
  std::int64_t rate_;
  Clock::time_point start_;
};

}  // namespace tally::generator
