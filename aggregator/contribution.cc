#include "aggregator/contribution.h"

#include "core/window.h"

#include <utility>

namespace tally::aggregator {

Contribution::Contribution(std::shared_ptr<const MeterSet> meters) : meters_(std::move(meters)) {}

void Contribution::add(const CountedEvent& event, const MeterReader& reader, TotalsPlan& totals) {
  for (const TakenValue& taken : reader.taken()) {
    const core::Meter& meter = meters_->meters()[taken.meter];
    const core::Window window = core::window_of(event.time, meter.window);
    const WindowKeyView key{event.tenant, taken.meter, window.start.seconds(),
                            reader.dimensions(taken)};
    if (meter.aggregation == core::Aggregation::kLatest) {
      auto found = totals.gauges.find(key);
      if (found == totals.gauges.end()) found = totals.gauges.try_emplace(WindowKey(key)).first;
      found->second.merge({taken.value, event.time, event.identity, 1});
    } else {
      auto found = totals.usage.find(key);
      if (found == totals.usage.end()) found = totals.usage.try_emplace(WindowKey(key)).first;
      found->second += {taken.value, 1};
    }
  }
}

}  // namespace tally::aggregator
