// What is to be sent when. Open loop: event number n is due at start + n / rate, whatever became of
// those before it, so a slow answer makes the load late, never thin. It asks no clock: each call is
// told the time. One thread at a time.
#pragma once

#include "producer/load/account.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tally::producer::load {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

class Timetable {
 public:
  // `rate`: events a second, at least 1.
  Timetable(std::uint64_t rate, TimePoint start) : rate_(rate), start_(start) {}
  // Nothing is due yet, until start().
  explicit Timetable(std::uint64_t rate) : Timetable(rate, TimePoint::max()) {}
  void start(TimePoint start) { start_ = start; }
  [[nodiscard]] TimePoint due(std::uint64_t number) const;
  // How many are due at `now`: numbers 0 to that, less one.
  [[nodiscard]] std::uint64_t due_by(TimePoint now) const;

 private:
  std::uint64_t rate_;
  TimePoint start_;
};

// Events that are sent together.
struct Batch {
  std::vector<std::uint64_t> numbers;
  std::uint32_t tries = 0;     // how often it was taken
  std::uint32_t sendings = 0;  // of them, those of which something left
  End so_far = End::kNotSent;  // what the last one came to
  std::string reason = {};     // of that
};

class Feed {
 public:
  // `again`: how often an event is taken again at most.
  Feed(Timetable timetable, std::uint64_t total, std::uint32_t again)
      : timetable_(timetable), total_(total), again_(again) {}

  // Before the first take(): when event 0 is due.
  void start(TimePoint start) { timetable_.start(start); }
  // At most `max` of what may be sent at `now`: what is sent again before what is new.
  [[nodiscard]] std::optional<Batch> take(TimePoint now, std::size_t max);
  // When to try again after take() gave nothing, unless something is given back or it is closed.
  [[nodiscard]] TimePoint next_look() const;
  // Nothing more can be taken, unless something is given back.
  [[nodiscard]] bool done() const { return next_ == total_ && back_.empty(); }

  // To be sent again at `not_before`. False: it was taken often enough, or the feed is closed.
  [[nodiscard]] bool give_back(Batch& batch, TimePoint not_before);
  // Until then nothing is taken.
  void pause(TimePoint until) { paused_until_ = std::max(paused_until_, until); }
  // Nothing is taken from now on; what is not due yet never is. Returns what was given back.
  [[nodiscard]] std::vector<Batch> close(TimePoint now);

  [[nodiscard]] std::uint64_t due(TimePoint now) const;
  [[nodiscard]] bool all_due(TimePoint now) const { return due(now) == total_; }
  [[nodiscard]] std::uint64_t taken() const { return next_; }
  // Due events that nobody took yet.
  [[nodiscard]] std::uint64_t behind(TimePoint now) const { return due(now) - next_; }
  [[nodiscard]] const Timetable& timetable() const { return timetable_; }

 private:
  Timetable timetable_;
  std::uint64_t total_;
  std::uint32_t again_;
  std::uint64_t next_ = 0;
  std::optional<std::uint64_t> due_when_closed_;
  TimePoint paused_until_ = TimePoint::min();
  std::multimap<TimePoint, Batch> back_;  // by when they may be taken
};

}  // namespace tally::producer::load
