// How long one waits for what others bring to an end.
#pragma once

#include <chrono>
#include <cstddef>

namespace tally::runtime::retry {

// Goes on for as long as what is left becomes less, however slowly, and gives up when it did not
// for `limit`. One thread.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;
  Patience(Clock::duration limit, std::size_t left, Clock::time_point now)
      : limit_(limit), least_(left), since_(now) {}

  // Whether to wait on: something is left, and it became less within the limit.
  [[nodiscard]] bool goes_on(std::size_t left, Clock::time_point now) {
    if (left < least_) {
      least_ = left;
      since_ = now;
    }
    return left > 0 && now - since_ < limit_;
  }

 private:
  Clock::duration limit_;
  std::size_t least_;
  Clock::time_point since_;
};

}  // namespace tally::runtime::retry
