#include "tests/support/generator/pacer.h"

#include <algorithm>
#include <thread>

namespace tally::generator {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::chrono::milliseconds kShortestPause{1};  // a wake-up for each record costs too much

}  // namespace

Pacer::Clock::time_point Pacer::due(std::int64_t number) const {
  const std::int64_t rest = number % rate_ * kNanosPerSecond / rate_;
  return start_ + std::chrono::seconds(number / rate_) + std::chrono::nanoseconds(rest);
}

Pacer::Clock::duration Pacer::await(std::int64_t number) const {
  const Clock::time_point wanted = due(number);
  Clock::time_point now = Clock::now();
  while (now < wanted) {
    std::this_thread::sleep_until(std::max(wanted, now + kShortestPause));
    now = Clock::now();
  }
  return now - wanted;
}

}  // namespace tally::generator
