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

void add_to(core::UsageDelta& usage, const TakenValue& taken, const CountedEvent& /*event*/) {
  usage += {taken.value, 1};
}
void add_to(UniqueSet& set, const TakenValue& taken, const CountedEvent& /*event*/) {
  set.values.insert(taken.unique);
  ++set.events;
}
template <class Reading>
void add_to(Reading& reading, const TakenValue& taken, const CountedEvent& event) {
  reading.merge({taken.value, event.time, event.identity, 1});
}

}  // namespace

Contribution::Contribution(std::shared_ptr<const MeterSet> meters,
                           std::shared_ptr<const TenantBook> tenants)
    : meters_(std::move(meters)),
      tenants_(tenants ? std::move(tenants) : std::make_shared<const TenantBook>()),
      unknown_(tenants_->unknown()) {}

core::CalendarReader& Contribution::calendar_of(std::string_view tenant, std::uint64_t hash) {
  if (tenants_->size() == 0) return unknown_;
  const auto same = [&](const auto& row) { return row.first == tenant; };
  if (auto* const known = calendars_.find(hash, same)) return known->second;
  const auto found = tenants_->find(tenant);
  if (found == tenants_->end()) return unknown_;
  return calendars_
      .at(hash, same,
          [&] {
            return std::pair(std::string_view(found->first), core::CalendarReader(found->second));
          })
      .second;
}

void Contribution::place(std::string_view tenant, core::Timestamp time, const MeterReader& reader,
                         const TotalsPlan& totals, std::vector<PlacedValue>& placed) {
  placed.clear();
  const std::uint64_t tenant_hash = hash_of(tenant);
  core::CalendarReader& calendar = calendar_of(tenant, tenant_hash);
  for (const TakenValue& taken : reader.taken()) {
    const core::Meter& meter = meters_->meters()[taken.meter];
    const core::Window& window = calendar.window_of(time, meter.window);
    const WindowKeyView key{tenant, taken.meter, window.start.seconds(), window.end.seconds(),
                            reader.dimensions(taken)};
    const std::uint64_t hash = hash_of(key, tenant_hash);
    placed.push_back({&taken, meter.aggregation, key, hash});
    in_map_of(meter.aggregation, totals, [&](const auto& windows) { windows.prefetch(hash); });
  }
}

void Contribution::prefetch_rows(const std::vector<PlacedValue>& placed, const TotalsPlan& totals) {
  for (const PlacedValue& value : placed) {
    in_map_of(value.aggregation, totals,
              [&](const auto& windows) { windows.prefetch_row(value.hash); });
  }
}

void Contribution::add(const CountedEvent& event, const std::vector<PlacedValue>& placed,
                       TotalsPlan& totals) const {
  if (totals.tenants != tenants_) {
    TALLY_CHECK(totals.tenants == nullptr, "a plan is folded under one catalogue");
    totals.tenants = tenants_;
  }
  for (const PlacedValue& value : placed) {
    in_map_of(value.aggregation, totals, [&](auto& windows) {
      add_to(windows.at(value.key, value.hash), *value.taken, event);
    });
  }
}

}  // namespace tally::aggregator
