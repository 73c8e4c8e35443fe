// Days of the log's clock, and the eight bits of them that the hot table keeps beside an entry.
//
// A mark is a day modulo 256. It is read against a day that is at least the entry's and at most 255
// days after it; the memory drops what is older than the horizon before its clock moves on, and the
// horizon is at most kMaxHorizonDays, so a mark has one meaning only. Runs, which nobody rewrites
// while the clock moves, keep days against a first day written in their header.
#pragma once

#include <cstdint>

namespace tally::aggregator::dedup {

// Days since 1970 by the log's clock.
using LogDay = std::int32_t;

inline constexpr LogDay kMaxHorizonDays = 250;

using DayMark = std::uint8_t;
inline constexpr LogDay kDayMarks = 256;
static_assert(kMaxHorizonDays < kDayMarks, "a mark tells the days of a horizon apart");

[[nodiscard]] constexpr DayMark mark_of(LogDay day) { return static_cast<DayMark>(day); }

// The one day with this mark among `newest` and the 255 days before it.
[[nodiscard]] constexpr LogDay day_of(DayMark mark, LogDay newest) {
  return newest - static_cast<DayMark>(mark_of(newest) - mark);
}
static_assert(day_of(mark_of(19'999), 20'000) == 19'999 && day_of(mark_of(512), 512 + 255) == 512);

// Today itself and `horizon_days` before it are remembered.
[[nodiscard]] constexpr bool is_expired(LogDay day, LogDay today, LogDay horizon_days) {
  return day < today - horizon_days;
}

}  // namespace tally::aggregator::dedup
