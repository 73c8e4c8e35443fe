#include "exporter/schedule.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tally::exporter {
namespace {

using core::Timestamp;
using std::chrono::days;
using std::chrono::sys_days;

struct Field {
  std::string_view name;
  unsigned first;
  unsigned last;
};
constexpr std::array<Field, 5> kFields = {Field{"minute", 0, 59}, Field{"hour", 0, 23},
                                          Field{"day of month", 1, 31}, Field{"month", 1, 12},
                                          Field{"day of week", 0, 7}};
enum Place : std::size_t { kMinute, kHour, kDayOfMonth, kMonth, kDayOfWeek };
constexpr int kWeek = 7;
constexpr int kDaysTried = 8 * 366;  // of a new schedule
constexpr std::int64_t kLookSeconds = 300;
constexpr std::int64_t kMinuteSeconds = 60;
constexpr std::int64_t kDaySeconds = 86'400;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Range {
  unsigned first = 0;
  unsigned last = 0;
  unsigned step = 1;
};

// "*", "7", "1-5", "*/10", "8-18/2".
std::optional<Range> range_of(std::string_view text, const Field& field) {
  Range range{field.first, field.last, 1};
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto step = number(text.substr(slash + 1));
    if (!step || *step == 0 || *step > field.last) return std::nullopt;
    range.step = *step;
    text = text.substr(0, slash);
    if (text != "*" && text.find('-') == std::string_view::npos) return std::nullopt;
  }
  if (text == "*") return range;
  const std::size_t dash = text.find('-');
  const auto first = number(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : number(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  if (*first < field.first || *last > field.last) return std::nullopt;
  range.first = *first;
  range.last = *last;
  return range;
}

core::Error wrong_field(std::string_view text, const Field& field) {
  return core::invalid(fmt::format(
      "'{}' is no {}; give numbers from {} to {}, *, lists (1,15), ranges (1-5) or steps (*/5)",
      text, field.name, field.first, field.last));
}

}  // namespace

Schedule Schedule::every(std::chrono::seconds interval) {
  TALLY_CHECK(interval.count() > 0);
  Schedule schedule;
  schedule.interval_ = interval;
  return schedule;
}

core::Result<Schedule> Schedule::at(std::string_view fields) {
  std::vector<std::string_view> given;
  for (const std::string_view words : split(fields, ' ')) {
    for (const std::string_view part : split(words, '\t'))
      if (!part.empty()) given.push_back(part);
  }
  if (given.size() != kFields.size()) {
    return core::invalid(fmt::format(
        "it has {} fields and not five: minute, hour, day of month, month, day of week, all in UTC "
        "('5 * * * *' is five past each hour)",
        given.size()));
  }
  Schedule schedule;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    for (const std::string_view part : split(given[i], ',')) {
      const auto range = range_of(part, kFields[i]);
      if (!range) return wrong_field(given[i], kFields[i]);
      for (unsigned value = range->first; value <= range->last; value += range->step)
        schedule.fields_[i].set(i == kDayOfWeek ? value % 7 : value);
    }
  }
  schedule.any_day_of_month_ = given[kDayOfMonth].front() == '*';
  schedule.any_day_of_week_ = given[kDayOfWeek].front() == '*';
  // From 2024 on, as the 29th of February is rare.
  constexpr std::int64_t kFirstDay = 19'723;
  for (int day = 0; day < kDaysTried; ++day) {
    if (!schedule.first_from(Timestamp::from_seconds((kFirstDay + day) * kDaySeconds), kWeek)) {
      return core::invalid(
          "more than a week may pass between two of these times; Stripe's invoices are final an "
          "hour after a period's end, so name more days");
    }
  }
  return schedule;
}

bool Schedule::is_on(sys_days day) const {
  const std::chrono::year_month_day date(day);
  if (!fields_[kMonth].test(static_cast<unsigned>(date.month()))) return false;
  const bool of_month = fields_[kDayOfMonth].test(static_cast<unsigned>(date.day()));
  const bool of_week = fields_[kDayOfWeek].test(std::chrono::weekday(day).c_encoding());
  return any_day_of_month_ || any_day_of_week_ ? of_month && of_week : of_month || of_week;
}

std::optional<Timestamp> Schedule::first_from(Timestamp moment, int days_looked_at) const {
  const sys_days first =
      std::chrono::floor<days>(std::chrono::sys_seconds(std::chrono::seconds(moment.seconds())));
  for (int i = 0; i < days_looked_at; ++i) {
    const sys_days day = first + days(i);
    if (!is_on(day)) continue;
    const std::int64_t midnight = day.time_since_epoch().count() * kDaySeconds;
    for (std::int64_t minute = 0; minute < kDaySeconds / kMinuteSeconds; ++minute) {
      const std::int64_t second = midnight + minute * kMinuteSeconds;
      if (second < moment.seconds()) continue;
      if (fields_[kHour].test(static_cast<std::size_t>(minute / 60)) &&
          fields_[kMinute].test(static_cast<std::size_t>(minute % 60)))
        return Timestamp::from_seconds(second);
    }
  }
  return std::nullopt;
}

Timestamp Schedule::next(Timestamp after) const {
  if (interval_.count() > 0)
    return Timestamp::from_micros(after.micros() + interval_.count() * 1'000'000);
  const auto found = first_from(Timestamp::from_seconds(after.seconds() + 1), kWeek + 1);
  TALLY_CHECK(found.has_value());
  return *found;
}

Timestamp Schedule::next_look(Timestamp started, bool is_settled) const {
  if (is_settled) return next(started);
  return std::min(next(started),
                  Timestamp::from_micros(started.micros() + kLookSeconds * 1'000'000));
}

Timestamp Schedule::overdue_after(Timestamp last, std::chrono::seconds spare) const {
  return Timestamp::from_micros(next(next(last)).micros() + spare.count() * 1'000'000);
}

}  // namespace tally::exporter
