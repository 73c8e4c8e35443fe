// How fast requests start: evenly, no faster than a limit, and slower for a while after Stripe
// answered 429 with a reason: half as fast, and faster again with each answer that is none. Pure;
// the caller waits. One thread.
#pragma once

#include "core/timestamp.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tally::exporter {

class SendPace {
 public:
  // 0: no limit.
  explicit SendPace(std::int64_t requests_per_second)
      : least_gap_(requests_per_second > 0 ? 1'000'000 / requests_per_second : 0) {}
  // When the next request may start, of one that starts `now` and could have started at `due`. What
  // was missed is made up for within kCatchUp only, so a second has no more than the limit's
  // requests and those of kCatchUp.
  [[nodiscard]] core::Timestamp next_start(core::Timestamp due, core::Timestamp now) const {
    const std::int64_t from = std::max(due.micros(), now.micros() - kCatchUp.count());
    return core::Timestamp::from_micros(from + std::max(least_gap_, gap_).count());
  }
  // 429 with Stripe-Rate-Limited-Reason: the account or the endpoint gets too much.
  void refused() { gap_ = std::clamp(std::max(least_gap_, gap_) * 2, kFirstGap, kLongestGap); }
  // Any other answer of Stripe. A sixteenth less: fifty answers later it is some thirty times as
  // fast.
  void passed() { gap_ = gap_ < kFirstGap ? std::chrono::microseconds(0) : gap_ * 15 / 16; }

 private:
  static constexpr std::chrono::microseconds kCatchUp{20'000};
  static constexpr std::chrono::microseconds kFirstGap{2'000};
  static constexpr std::chrono::microseconds kLongestGap{1'000'000};
  std::chrono::microseconds least_gap_;
  std::chrono::microseconds gap_{0};
};

}  // namespace tally::exporter
