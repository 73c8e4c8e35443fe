// When a wait ends.
#pragma once

#include <chrono>

namespace tally::runtime::retry {

// `now` and `wait` later; the clock's end where that lies beyond it, so that milliseconds::max()
// means for ever. `now` itself for a wait of none or less.
template <class Clock>
[[nodiscard]] constexpr std::chrono::time_point<Clock> deadline(std::chrono::time_point<Clock> now,
                                                                std::chrono::milliseconds wait) {
  using Point = std::chrono::time_point<Clock>;
  if (wait <= std::chrono::milliseconds::zero()) return now;
  const auto room = std::chrono::duration_cast<std::chrono::milliseconds>(Point::max() - now);
  return wait < room ? now + wait : Point::max();
}

}  // namespace tally::runtime::retry
