// When requests may start: no more than a limit in any second, as Stripe counts, and with a gap
// from one to the next for a while after it answered 429 with a reason: twice as long each time,
// and shorter again with each answer that is none. Pure; the caller waits. One thread.
#pragma once

#include "core/timestamp.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace tally::exporter {

class SendPace {
 public:
  // 0: no limit.
  explicit SendPace(std::int64_t requests_per_second)
      : limit_(static_cast<std::size_t>(requests_per_second)) {}
  // The earliest moment for the next request, of one that starts `now`.
  [[nodiscard]] core::Timestamp started(core::Timestamp now) {
    std::int64_t next_us = now.micros() + gap_.count();
    if (limit_ > 0) {
      last_second_.push_back(now);
      if (last_second_.size() > limit_) last_second_.pop_front();
      if (last_second_.size() == limit_)
        next_us = std::max(next_us, last_second_.front().micros() + kSecond.count());
    }
    return core::Timestamp::from_micros(next_us);
  }
  // 429 with Stripe-Rate-Limited-Reason: the account or the endpoint gets too much.
  void refused() { gap_ = std::clamp(gap_ * 2, kFirstGap, kLongestGap); }
  // Any other answer of Stripe. A sixteenth less: fifty answers later it is some thirty times as
  // fast.
  void passed() { gap_ = gap_ < kFirstGap ? std::chrono::microseconds(0) : gap_ * 15 / 16; }

 private:
  // A little more than a second, as requests that start evenly do not arrive so.
  static constexpr std::chrono::microseconds kSecond{1'015'000};
  static constexpr std::chrono::microseconds kFirstGap{2'000};
  static constexpr std::chrono::microseconds kLongestGap{1'000'000};
  std::size_t limit_;
  std::deque<core::Timestamp> last_second_;  // the last `limit_` starts
  std::chrono::microseconds gap_{0};
};

}  // namespace tally::exporter
