#include "tests/simulation/tenants.h"

#include "core/calendar.h"
#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>

namespace tally::simulation {

namespace {

constexpr std::size_t kCatalogues = 3;
constexpr std::int64_t kQuarterHour = 900;
constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kFirstSecond = 1'693'526'400;  // 2023-09-01
constexpr std::int64_t kLastSecond = 1'717'200'000;   // 2024-06-01

const std::map<std::string, ZoneDays>& zones() {
  static const std::map<std::string, ZoneDays> all = {
      {"UTC", ZoneDays({{0, 0}})},
      // Summer time ends on 2023-10-29 at 01:00 UTC and begins on 2024-03-31 at 01:00 UTC.
      {"Europe/Berlin", ZoneDays({{0, 2 * kHour}, {1'698'541'200, kHour}, {1'711'846'800, 7200}})},
      // On 2023-11-05 at 06:00 UTC, on 2024-03-10 at 07:00 UTC.
      {"America/New_York",
       ZoneDays({{0, -4 * kHour}, {1'699'164'000, -5 * kHour}, {1'710'054'000, -4 * kHour}})},
      // Clocks go back from midnight to 23:00 (2023-10-28 21:00 UTC) and on from midnight to 1:00
      // (2024-03-30 22:00 UTC): a day of 25 hours, and one that has no midnight.
      {"Asia/Beirut",
       ZoneDays({{0, 3 * kHour}, {1'698'526'800, 2 * kHour}, {1'711'836'000, 3 * kHour}})},
      {"Asia/Kathmandu", ZoneDays({{0, 5 * kHour + 45 * 60}})}};
  return all;
}

int month_of_date(std::int32_t date) {
  const std::time_t seconds = date * kDay;
  std::tm civil{};
  ::gmtime_r(&seconds, &civil);
  return civil.tm_mon;
}

}  // namespace

// A day begins at the first moment of its date; where clocks fall back across midnight, the day
// that had begun goes on.
ZoneDays::ZoneDays(const Clock& clock) {
  for (std::int64_t now = kFirstSecond; now < kLastSecond; now += kQuarterHour) {
    std::int64_t ahead = 0;
    for (const auto& [from, offset] : clock) {
      if (from <= now) ahead = offset;
    }
    const auto date = static_cast<std::int32_t>((now + ahead) / kDay);
    if (starts_.empty() || date > starts_.back().second) starts_.emplace_back(now, date);
  }
}

LocalDay ZoneDays::day_of(std::int64_t seconds) const {
  auto next = std::upper_bound(starts_.begin(), starts_.end(), seconds,
                               [](std::int64_t at, const auto& day) { return at < day.first; });
  TALLY_CHECK(next != starts_.begin() && next != starts_.end());
  return {std::prev(next)->first, next->first, std::prev(next)->second};
}

LocalDay ZoneDays::month_of(std::int64_t seconds) const {
  LocalDay month = day_of(seconds);
  const int number = month_of_date(month.date);
  for (LocalDay day = month; month_of_date(day.date) == number; day = day_of(day.start - 1)) {
    month.start = day.start;
    month.date = day.date;
  }
  for (LocalDay day = month; month_of_date(day.date) == number; day = day_of(day.end))
    month.end = day.end = day_of(day.start).end;
  return month;
}

Period TenantFacts::window_of(std::int64_t seconds, core::WindowSize size) const {
  const LocalDay day = days->day_of(seconds);
  std::int64_t grain = size == core::WindowSize::kMinute ? 60 : kDay * 2;
  if (size == core::WindowSize::kHour)
    grain = day.start % kHour == 0 && day.end % kHour == 0 ? kHour : kQuarterHour;
  bool edge_ahead = false;
  for (const Period& period : periods) edge_ahead |= period.start > seconds || period.end > seconds;
  if (pays_by_stripe && !edge_ahead) grain = 60;
  Period window{day.start, day.end};
  if (grain <= kHour) {
    window.start = std::max(window.start, seconds - seconds % grain);
    window.end = std::min(window.end, seconds - seconds % grain + grain);
  }
  for (const Period& period : periods) {
    for (const std::int64_t edge : {period.start, period.end}) {
      if (edge <= seconds) window.start = std::max(window.start, edge);
      if (edge > seconds) window.end = std::min(window.end, edge);
    }
  }
  return window;
}

std::string settler(std::size_t number) { return fmt::format("settler{}", number); }

Tenants::Tenants(std::int64_t first) : facts_(kCatalogues), rows_(kCatalogues) {
  unknown_.days = &zones().at("UTC");
  const auto hours = [first](std::int64_t count, std::int64_t more = 0) {
    return first + count * kHour + more;
  };
  for (std::size_t catalogue = 0; catalogue < kCatalogues; ++catalogue) {
    add("t1", catalogue, "Europe/Berlin",
        {{hours(-20), hours(5, 13)}, {hours(5, 13), hours(31)}, {hours(31), hours(240, 59)}},
        false);
    add("t2", catalogue, "Asia/Kathmandu", {{hours(-90), hours(7, 7)}, {hours(7, 7), hours(55)}},
        true);
    add("t3", catalogue, "America/New_York", {}, true);
    add("t4", catalogue, "Asia/Beirut", {{hours(3), hours(90)}, {hours(100, 1), hours(200)}},
        false);
  }
  add(kNomad, 0, "Europe/Berlin", {}, true);
  add(kNomad, 1, "America/New_York", {{hours(5, 13), hours(30)}}, true);
  add(kNomad, 2, "Asia/Kathmandu", {{hours(5, 13), hours(26)}, {hours(26), hours(60)}}, true);
  for (std::size_t i = 0; i < kSettlers; ++i) {
    add(settler(i), 0, "UTC", {}, i % 2 == 0);
    add(settler(i), 1, "Europe/Berlin", {{hours(-10), hours(20, 7)}}, i % 2 == 0);
    add(settler(i), 2, "Europe/Berlin", {{hours(-10), hours(44)}, {hours(44), hours(100)}},
        i % 2 == 0);
  }
  for (std::size_t catalogue = 0; catalogue < kCatalogues; ++catalogue) {
    aggregator::TenantBook::Calendars calendars;
    for (const auto& [tenant, facts] : facts_[catalogue]) {
      std::vector<core::Window> periods;
      for (const Period& period : facts.periods) {
        periods.push_back({core::Timestamp::from_seconds(period.start),
                           core::Timestamp::from_seconds(period.end)});
        rows_[catalogue].periods.push_back({tenant, period.start, period.end});
      }
      calendars.emplace(
          tenant,
          core::Calendar(core::TimeZone::load(facts.zone).value(), std::move(periods),
                         facts.pays_by_stripe ? core::Payment::kStripe : core::Payment::kNone));
    }
    rows_[catalogue].book = std::make_shared<const aggregator::TenantBook>(std::move(calendars));
  }
}

void Tenants::add(const std::string& tenant, std::size_t catalogue, const std::string& zone,
                  std::vector<Period> periods, bool pays_by_stripe) {
  facts_[catalogue][tenant] = {zone, &zones().at(zone), std::move(periods), pays_by_stripe};
}

const TenantFacts& Tenants::of(const std::string& tenant, std::size_t catalogue) const {
  const auto found = facts_.at(catalogue).find(tenant);
  return found == facts_[catalogue].end() ? unknown_ : found->second;
}

std::vector<Tenants> make_tenants() {
  return {std::begin(kFirstLogSeconds), std::end(kFirstLogSeconds)};
}

}  // namespace tally::simulation
