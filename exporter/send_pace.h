// When requests may start and how many at once: no more than a limit in any second, as Stripe
// counts, and after it answered 429 with a reason further apart, or fewer at a time, for a while.
// Pure; the caller waits. Lives as long as the process, so that one export after another keeps the
// limit. One thread.
#pragma once

#include "core/timestamp.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

namespace tally::exporter {

class SendPace {
 public:
  // `requests_per_second`: 0: no limit. `lanes`: the most at once.
  SendPace(std::int64_t requests_per_second, std::size_t lanes)
      : limit_(static_cast<std::size_t>(requests_per_second)), most_lanes_(lanes), lanes_(lanes) {}

  [[nodiscard]] std::size_t lanes() const { return lanes_; }
  // From when on the next request may start.
  [[nodiscard]] core::Timestamp next_start() const { return next_start_; }
  // The clock was set back: what was reckoned by the other one is forgotten.
  void forget_times() {
    last_second_.clear();
    next_start_ = slowed_at_ = {};
  }

  void started(core::Timestamp now) {
    std::int64_t next_us = now.micros() + gap_.count();
    if (limit_ > 0) {
      last_second_.push_back(now);
      if (last_second_.size() > limit_) last_second_.pop_front();
      if (last_second_.size() == limit_)
        next_us = std::max(next_us, last_second_.front().micros() + kSecond.count());
    }
    next_start_ = core::Timestamp::from_micros(next_us);
  }
  // 429 with Stripe-Rate-Limited-Reason, of a request that was started then: twice as far apart, or
  // half as many at once where the reason is their number. What was under way when it slowed down
  // says nothing new.
  void refused(std::string_view reason, core::Timestamp started, core::Timestamp now) {
    if (started < slowed_at_) return;
    slowed_at_ = now;
    passed_ = 0;
    if (reason.find("concurrency") != std::string_view::npos) {
      lanes_ = std::max<std::size_t>(1, lanes_ / 2);
    } else {
      gap_ = std::clamp(gap_ * 2, kFirstGap, kLongestGap);
    }
  }
  // Any other answer of Stripe. A sixteenth less: fifty answers later it is some thirty times as
  // fast; and a lane more for every sixteen.
  void passed(core::Timestamp started) {
    if (started < slowed_at_) return;
    gap_ = gap_ < kFirstGap ? std::chrono::microseconds(0) : gap_ * 15 / 16;
    if (++passed_ % kPassesPerLane == 0) lanes_ = std::min(lanes_ + 1, most_lanes_);
  }

 private:
  // A little more than a second, as requests do not arrive as they start.
  static constexpr std::chrono::microseconds kSecond{1'015'000};
  static constexpr std::chrono::microseconds kFirstGap{2'000};
  static constexpr std::chrono::microseconds kLongestGap{1'000'000};
  static constexpr std::size_t kPassesPerLane = 16;
  std::size_t limit_;
  std::size_t most_lanes_;
  std::size_t lanes_;
  std::deque<core::Timestamp> last_second_;  // the last `limit_` starts
  std::chrono::microseconds gap_{0};
  core::Timestamp next_start_;
  core::Timestamp slowed_at_;
  std::size_t passed_ = 0;
};

}  // namespace tally::exporter
