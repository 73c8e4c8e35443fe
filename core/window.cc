#include "core/window.h"

#include "core/check.h"

#include <chrono>

namespace tally::core {
namespace {

Timestamp start_of(std::chrono::year_month month) {
  const std::chrono::sys_days first(month / std::chrono::day(1));
  return Timestamp::from_seconds(std::int64_t{first.time_since_epoch().count()} * 86'400);
}

}  // namespace

Window utc_month_of(Timestamp time) {
  TALLY_CHECK(time.micros() >= 0, "micros {}", time.micros());
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(time.seconds() / 86'400))};
  const std::chrono::year_month month(date.year(), date.month());
  const Window window{start_of(month), start_of(month + std::chrono::months(1))};
  TALLY_CHECK(window.start <= time && time < window.end, "micros {}", time.micros());
  return window;
}

}  // namespace tally::core
