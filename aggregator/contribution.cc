#include "aggregator/contribution.h"

#include "core/check.h"
#include "core/window.h"

#include <utility>

namespace tally::aggregator {

namespace {

using core::Aggregation;

template <class Value>
Value& at(WindowMap<Value>& windows, const WindowKeyView& key) {
  auto found = windows.find(key);
  if (found == windows.end()) found = windows.try_emplace(WindowKey(key)).first;
  return found->second;
}

}  // namespace

Contribution::Contribution(std::shared_ptr<const MeterSet> meters,
                           std::shared_ptr<const TenantBook> tenants)
    : meters_(std::move(meters)),
      tenants_(tenants ? std::move(tenants) : std::make_shared<const TenantBook>()),
      unknown_(tenants_->unknown()) {}

core::CalendarReader& Contribution::calendar_of(std::string_view tenant) {
  if (tenants_->size() == 0) return unknown_;
  const auto known = calendars_.find(tenant);
  if (known != calendars_.end()) return known->second;
  const auto found = tenants_->find(tenant);
  if (found == tenants_->end()) return unknown_;
  return calendars_.try_emplace(found->first, found->second).first->second;
}

void Contribution::add(const CountedEvent& event, const MeterReader& reader, TotalsPlan& totals) {
  if (totals.tenants != tenants_) {
    TALLY_CHECK(totals.tenants == nullptr, "a plan is folded under one catalogue");
    totals.tenants = tenants_;
  }
  core::CalendarReader& calendar = calendar_of(event.tenant);
  for (const TakenValue& taken : reader.taken()) {
    const core::Meter& meter = meters_->meters()[taken.meter];
    const core::Window& window = calendar.window_of(event.time, meter.window);
    const WindowKeyView key{event.tenant, taken.meter, window.start.seconds(), window.end.seconds(),
                            reader.dimensions(taken)};
    switch (meter.aggregation) {
      case Aggregation::kSum:
      case Aggregation::kCount:
        at(totals.usage, key) += {taken.value, 1};
        break;
      case Aggregation::kLatest:
        at(totals.gauges, key).merge({taken.value, event.time, event.identity, 1});
        break;
      case Aggregation::kMax:
        at(totals.maxima, key).merge({taken.value, event.time, event.identity, 1});
        break;
      case Aggregation::kMin:
        at(totals.minima, key).merge({taken.value, event.time, event.identity, 1});
        break;
      case Aggregation::kUniqueCount: {
        UniqueSet& set = at(totals.uniques, key);
        set.values.insert(taken.unique);
        ++set.events;
        break;
      }
    }
  }
}

}  // namespace tally::aggregator
