#include "aggregator/dimension_guard.h"

#include "core/limits.h"
#include "core/window.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace tally::aggregator {

namespace {

using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// A tenant, a meter and a month (its first second).
using Place = std::tuple<std::string_view, std::uint16_t, std::int64_t>;
using Combination = std::pair<Place, std::string_view>;

Place place_of(const WindowKey& key) {
  const auto start = Timestamp::from_seconds(key.start_seconds);
  return {key.tenant(), key.meter, core::utc_month_of(start).start.seconds()};
}

Combination combination_of(const WindowKey& key) { return {place_of(key), key.dimensions()}; }

bool is_guarded(const WindowKey& key) {
  return key.dimensions() != kNoDimensions && key.dimensions() != kOverflowDimensions;
}

std::string month_text(const Place& place) {
  return core::to_rfc3339(Timestamp::from_seconds(std::get<2>(place))).substr(0, 10);
}

// Every part but the last ends where a NUL is: no part holds one.
void write_text(const Combination& combination, const MeterSet& meters, std::string& text) {
  const auto& [tenant, meter, month] = combination.first;
  text.assign(tenant).push_back('\0');
  text.append(meters.meters()[meter].slug).push_back('\0');
  const fmt::format_int digits(month);
  text.append(digits.data(), digits.size()).push_back('\0');
  text.append(combination.second);
}

template <class Work>
void for_each_map(const TotalsPlan& plan, Work work) {
  work(plan.usage, &TotalsPlan::usage);
  work(plan.gauges, &TotalsPlan::gauges);
  work(plan.maxima, &TotalsPlan::maxima);
  work(plan.minima, &TotalsPlan::minima);
  work(plan.uniques, &TotalsPlan::uniques);
}

void merge(core::UsageDelta& into, const core::UsageDelta& other) { into += other; }
template <class Value>
void merge(Value& into, const Value& other) {
  into.merge(other);
}

using Overflow = std::map<Place, std::int64_t>;

TotalsPlan with_overflow(const TotalsPlan& plan, const std::set<Combination>& refused,
                         Overflow& overflow) {
  TotalsPlan changed;
  changed.tenants = plan.tenants;
  changed.unique_values = plan.unique_values;
  for_each_map(plan, [&](const auto& windows, auto member) {
    for (const auto& [key, value] : windows) {
      WindowKeyView moved = key.view();
      if (is_guarded(key) && refused.contains(combination_of(key))) {
        moved.dimensions = kOverflowDimensions;
        overflow[place_of(key)] += value.events;
      }
      merge((changed.*member)[changed.key(moved)], value);
    }
  });
  return changed;
}

std::int64_t count_overflow(const Overflow& overflow, const MeterSet& meters,
                            Transaction& transaction) {
  ArrayText tenant, meter, month, events;
  std::int64_t sum = 0;
  for (const auto& [place, count] : overflow) {
    tenant.add(std::get<0>(place));
    meter.add(meters.meters()[std::get<1>(place)].slug);
    month.add(month_text(place));
    events.add(count);
    sum += count;
  }
  transaction.exec(
      "INSERT INTO tally.dimension_month AS m (tenant, meter, month, overflow_events) "
      "SELECT * FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[]) "
      "ON CONFLICT (tenant, meter, month) "
      "DO UPDATE SET overflow_events = m.overflow_events + excluded.overflow_events",
      {tenant.take(), meter.take(), month.take(), events.take()});
  runtime::log::warn(
      "dimension_overflow",
      {{"events", sum},
       {"what", "too many combinations of dimensions: see finance.dimension_overflow"}});
  return sum;
}

}  // namespace

std::optional<TotalsPlan> DimensionGuard::admit(const TotalsPlan& plan, const MeterSet& meters,
                                                Transaction& transaction) {
  provisional_.clear();
  overflowed_ = 0;
  std::set<Combination> met;
  std::string text;
  for_each_map(plan, [&](const auto& windows, auto) {
    for (const auto& [key, value] : windows) {
      if (!is_guarded(key)) continue;
      const Combination combination = combination_of(key);
      write_text(combination, meters, text);
      if (!admitted_.contains(text)) met.insert(combination);
    }
  });
  if (met.empty()) return std::nullopt;
  std::vector<const Combination*> asked;
  ArrayText tenant, meter, month, dimensions;
  for (const Combination& combination : met) {
    const auto& [place, combined] = combination;
    tenant.add(std::get<0>(place));
    meter.add(meters.meters()[std::get<1>(place)].slug);
    month.add(month_text(place));
    dimensions.add(combined);
    asked.push_back(&combination);
    write_text(combination, meters, text);
    provisional_.push_back(text);
  }
  const Rows rows = transaction.exec(
      "SELECT refused FROM tally.admit_dimensions($1::text[], $2::text[], $3::date[], $4::text[], "
      "$5::bigint)",
      {tenant.take(), meter.take(), month.take(), dimensions.take(), std::to_string(limit_)});
  if (rows.size() == 0) return std::nullopt;
  std::set<Combination> refused;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto place = static_cast<std::size_t>(rows.int64(i, 0)) - 1;
    refused.insert(*asked.at(place));
    provisional_.at(place).clear();
  }
  Overflow overflow;
  TotalsPlan changed = with_overflow(plan, refused, overflow);
  overflowed_ = count_overflow(overflow, meters, transaction);
  return changed;
}

void DimensionGuard::committed() {
  if (admitted_.size() + provisional_.size() > core::kMaxRememberedCombinations) admitted_.clear();
  for (std::string& text : provisional_) {
    if (!text.empty()) admitted_.insert(std::move(text));
  }
  provisional_.clear();
  tell(std::exchange(overflowed_, 0));
}

void DimensionGuard::tell(std::int64_t overflowed) const {
  if (overflowed > 0 && observe_) observe_(overflowed);
}

void DimensionGuard::in_doubt(const BatchPlan& plan) {
  const auto& [partition, advance] = *plan.partitions.begin();
  in_doubt_[partition] = {advance.epoch, advance.start, overflowed_};
}

void DimensionGuard::resolved(const BatchPlan& plan, Resolution resolution) {
  for (const auto& [partition, advance] : plan.partitions) {
    const auto found = in_doubt_.find(partition);
    if (found == in_doubt_.end() || found->second.epoch != advance.epoch ||
        found->second.start != advance.start) {
      continue;
    }
    if (resolution == Resolution::kCommitted) tell(found->second.overflowed);
    in_doubt_.erase(found);
  }
}

void DimensionGuard::forget() {
  admitted_.clear();
  provisional_.clear();
  overflowed_ = 0;
}

}  // namespace tally::aggregator
