#include "aggregator/contribution.h"

#include "core/check.h"
#include "core/window.h"

#include <utility>

namespace tally::aggregator {

namespace {

using core::Aggregation;

// visit(map) with the map of the plan that holds windows of this aggregation.
template <class Plan, class Visit>
void in_map_of(Aggregation aggregation, Plan& totals, const Visit& visit) {
  switch (aggregation) {
    case Aggregation::kSum:
    case Aggregation::kCount:
      return visit(totals.usage);
    case Aggregation::kLatest:
      return visit(totals.gauges);
    case Aggregation::kMax:
      return visit(totals.maxima);
    case Aggregation::kMin:
      return visit(totals.minima);
    case Aggregation::kUniqueCount:
      return visit(totals.uniques);
  }
}

// How many values the window gained that are rows of their own.
std::size_t add_to(core::UsageDelta& usage, const TakenValue& taken,
                   const CountedEvent& /*event*/) {
  usage += {taken.value, 1};
  return 0;
}
std::size_t add_to(UniqueSet& set, const TakenValue& taken, const CountedEvent& /*event*/) {
  ++set.events;
  return set.values.insert(taken.unique).second ? 1 : 0;
}
template <class Reading>
std::size_t add_to(Reading& reading, const TakenValue& taken, const CountedEvent& event) {
  reading.merge({taken.value, event.time, event.identity, 1});
  return 0;
}

}  // namespace

Contribution::Contribution(std::shared_ptr<const MeterSet> meters,
                           std::shared_ptr<const TenantBook> tenants)
    : meters_(std::move(meters)),
      tenants_(tenants ? std::move(tenants) : std::make_shared<const TenantBook>()) {}

// The plan's windows will be about as many as the last one's.
void Contribution::begin(TotalsPlan& totals) {
  texts_ = totals.texts;
  none_ = &texts_->intern(kNoDimensions);
  met_.clear();
  totals.usage.reserve(usage_windows_);
}

std::uint64_t Contribution::expect(std::string_view tenant) const {
  const std::uint64_t hash = hash_of(tenant);
  met_.prefetch(hash);
  return hash;
}

Contribution::Tenant& Contribution::met(std::string_view tenant, std::uint64_t hash) {
  return met_.at(
      hash, [&](const Tenant& row) { return row.name->view() == tenant; },
      [&] {
        return Tenant{&texts_->intern(tenant, hash),
                      core::CalendarReader(tenants_->calendar_of(tenant))};
      });
}

void Contribution::place(std::string_view tenant, std::uint64_t hash, core::Timestamp time,
                         const MeterReader& reader, TotalsPlan& totals,
                         std::vector<PlacedValue>& placed) {
  placed.clear();
  if (totals.texts != texts_) begin(totals);
  Tenant& known = met(tenant, hash);
  const PlanText* dimensions = none_;
  for (const TakenValue& taken : reader.taken()) {
    const core::Meter& meter = meters_->meters()[taken.meter];
    const core::Window& window = known.calendar.window_of(time, meter.window);
    if (const std::string_view text = reader.dimensions(taken); text != dimensions->view())
      dimensions = &texts_->intern(text);
    const WindowKey key(*known.name, *dimensions, window, taken.meter);
    const std::uint64_t place = hash_of(key);
    placed.push_back({&taken, meter.aggregation, key, place});
    in_map_of(meter.aggregation, totals, [&](const auto& windows) { windows.prefetch(place); });
  }
}

void Contribution::prefetch_rows(const std::vector<PlacedValue>& placed, const TotalsPlan& totals) {
  for (const PlacedValue& value : placed) {
    in_map_of(value.aggregation, totals,
              [&](const auto& windows) { windows.prefetch_row(value.hash); });
  }
}

void Contribution::add(const CountedEvent& event, const std::vector<PlacedValue>& placed,
                       TotalsPlan& totals) {
  if (totals.tenants != tenants_) {
    TALLY_CHECK(totals.tenants == nullptr, "a plan is folded under one catalogue");
    totals.tenants = tenants_;
  }
  for (const PlacedValue& value : placed) {
    in_map_of(value.aggregation, totals, [&](auto& windows) {
      totals.unique_values += add_to(windows.at(value.key, value.hash), *value.taken, event);
    });
  }
  usage_windows_ = totals.usage.size();
}

}  // namespace tally::aggregator
