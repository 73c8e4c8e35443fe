// Half-open spans of event time, aligned in UTC: [start, end).
#pragma once

#include "core/timestamp.h"

#include <compare>
#include <cstdint>

namespace tally::core {

enum class WindowSize : std::uint8_t { kMinute, kHour, kDay };

[[nodiscard]] constexpr std::int64_t seconds_of(WindowSize size) {
  return size == WindowSize::kMinute ? 60 : size == WindowSize::kHour ? 3600 : 86'400;
}

struct Window {
  Timestamp start;
  Timestamp end;
  friend constexpr auto operator<=>(const Window&, const Window&) = default;
};

// The window that holds `time`: start <= time < end. Times before 1970 are a caller's bug.
[[nodiscard]] constexpr Window window_of(Timestamp time, WindowSize size) {
  const std::int64_t width = seconds_of(size);
  const std::int64_t start = time.seconds() / width * width;
  return {Timestamp::from_seconds(start), Timestamp::from_seconds(start + width)};
}

// The calendar month in UTC that holds `time`.
[[nodiscard]] Window utc_month_of(Timestamp time);

}  // namespace tally::core
