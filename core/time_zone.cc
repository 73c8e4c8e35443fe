#include "core/time_zone.h"

#include "core/check.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>

namespace tally::core {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month;
using std::chrono::year_month_day;

constexpr std::int64_t kSecondsPerDay = 86'400;
const absl::CivilDay kEpoch(1970, 1, 1);

std::int32_t date_of(year_month_day date) {
  return static_cast<std::int32_t>(sys_days(date).time_since_epoch().count());
}

// Names that depend on the machine, on the working directory or on no data at all are refused.
bool is_zone_name(std::string_view name) {
  constexpr std::string_view kSigns = "_+-/";
  const auto good = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kSigns.find(c) != std::string_view::npos;
  };
  return !name.empty() && name.front() != '/' && name != "localtime" && name != "Factory" &&
         !name.starts_with("Fixed/") && std::all_of(name.begin(), name.end(), good);
}

std::int64_t floor_day(std::int64_t seconds) {
  return seconds / kSecondsPerDay - (seconds % kSecondsPerDay < 0 ? 1 : 0);
}

}  // namespace

struct TimeZone::Data {
  absl::TimeZone zone;
};

Result<TimeZone> TimeZone::load(const std::string& name) {
  TimeZone zone;
  if (name == "UTC") return zone;
  auto data = std::make_shared<Data>();
  if (!is_zone_name(name) || !absl::LoadTimeZone(name, &data->zone)) {
    return invalid(fmt::format(
        "this machine knows no time zone \"{}\": use an IANA name such as Europe/Berlin, and "
        "install tzdata of the same release as the database's",
        name));
  }
  zone.data_ = std::move(data);
  return zone;
}

Timestamp TimeZone::start_of(std::int32_t date) const {
  if (!data_) return Timestamp::from_seconds(date * kSecondsPerDay);
  const auto midnight = data_->zone.At(absl::CivilSecond(kEpoch + date));
  // Skipped: the day begins at the jump. Repeated: at the first of the two.
  const bool skipped = midnight.kind == absl::TimeZone::TimeInfo::SKIPPED;
  return Timestamp::from_seconds(absl::ToUnixSeconds(skipped ? midnight.trans : midnight.pre));
}

LocalSpan TimeZone::day_of(Timestamp time) const {
  const std::int64_t seconds = time.seconds() - (time.micros() % 1'000'000 < 0 ? 1 : 0);
  auto date = static_cast<std::int32_t>(floor_day(seconds));
  if (data_) {
    const absl::CivilSecond local = data_->zone.At(absl::FromUnixSeconds(seconds)).cs;
    date = static_cast<std::int32_t>(absl::CivilDay(local) - kEpoch);
  }
  LocalSpan day{{start_of(date), start_of(date + 1)}, date};
  while (day.window.end <= time) {
    ++date;
    day = {{day.window.end, start_of(date + 1)}, date};
  }
  TALLY_CHECK(day.window.start <= time && time < day.window.end, "micros {}", time.micros());
  return day;
}

LocalSpan TimeZone::month_of(Timestamp time) const {
  const year_month_day date{sys_days(days(day_of(time).first_date))};
  const year_month month(date.year(), date.month());
  const std::int32_t first = date_of(month / std::chrono::day(1));
  const std::int32_t next = date_of((month + std::chrono::months(1)) / std::chrono::day(1));
  return {{start_of(first), start_of(next)}, first};
}

}  // namespace tally::core
