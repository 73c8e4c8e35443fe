// How fast one worker sends: as fast as it can until Stripe answers 429 with a reason, then half as
// fast, and faster again with each answer that is none. Pure; the caller waits. One thread.
#pragma once

#include <algorithm>
#include <chrono>

namespace tally::exporter {

class SendPace {
 public:
  // The wait from one send to the next, for now; 0: none.
  [[nodiscard]] std::chrono::microseconds gap() const { return gap_; }
  // 429 with Stripe-Rate-Limited-Reason: the account or the endpoint gets too much.
  void refused() { gap_ = std::clamp(gap_ * 2, kFirstGap, kLongestGap); }
  // Any other answer of Stripe. A sixteenth less: fifty answers later it is some thirty times as
  // fast.
  void passed() { gap_ = gap_ < kFirstGap ? std::chrono::microseconds(0) : gap_ * 15 / 16; }

 private:
  static constexpr std::chrono::microseconds kFirstGap{2'000};
  static constexpr std::chrono::microseconds kLongestGap{1'000'000};
  std::chrono::microseconds gap_{0};
};

}  // namespace tally::exporter
