#include "tests/support/sandbox/calendar.h"

#include <algorithm>
#include <chrono>

namespace tally::sandbox {
namespace {

constexpr std::int64_t kDay = 86'400;

// No rhythm's step is longer, none shorter.
std::int64_t longest(const Rhythm& rhythm) {
  switch (rhythm.interval) {
    case Interval::kDay:
      return kDay * rhythm.count;
    case Interval::kWeek:
      return 7 * kDay * rhythm.count;
    case Interval::kMonth:
      return 31 * kDay * rhythm.count;
    case Interval::kYear:
      return 366 * kDay * rhythm.count;
  }
  return kDay;
}

}  // namespace

std::optional<Interval> interval_of(std::string_view name) {
  if (name == "day") return Interval::kDay;
  if (name == "week") return Interval::kWeek;
  if (name == "month") return Interval::kMonth;
  if (name == "year") return Interval::kYear;
  return std::nullopt;
}

std::int64_t edge(std::int64_t anchor, const Rhythm& rhythm, std::int64_t n) {
  namespace chrono = std::chrono;
  const std::int64_t steps = n * rhythm.count;
  if (rhythm.interval == Interval::kDay) return anchor + steps * kDay;
  if (rhythm.interval == Interval::kWeek) return anchor + steps * 7 * kDay;
  const std::int64_t months = steps * (rhythm.interval == Interval::kYear ? 12 : 1);
  const chrono::sys_seconds moment{chrono::seconds(anchor)};
  const auto midnight = chrono::floor<chrono::days>(moment);
  const chrono::year_month_day date{midnight};
  const chrono::year_month month =
      chrono::year_month{date.year(), date.month()} + chrono::months(static_cast<int>(months));
  const chrono::day last =
      chrono::year_month_day_last{month.year(), month.month() / chrono::last}.day();
  const chrono::sys_days day = month / std::min(date.day(), last);
  return (chrono::sys_seconds{day} + (moment - midnight)).time_since_epoch().count();
}

std::int64_t edge_after(std::int64_t anchor, const Rhythm& rhythm, std::int64_t time) {
  // Below the right one: on the far side of the anchor steps are counted as if they were short.
  const std::int64_t step = longest(rhythm);
  std::int64_t n = time >= anchor ? (time - anchor) / step : -((anchor - time) / (step / 2) + 1);
  while (edge(anchor, rhythm, n) > time) --n;
  while (edge(anchor, rhythm, n) <= time) ++n;
  return edge(anchor, rhythm, n);
}

}  // namespace tally::sandbox
