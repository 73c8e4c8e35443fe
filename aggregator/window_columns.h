// Keys of windows and spans as columns of text for unnest(), in the order of their rows.
#pragma once

#include "aggregator/meter_set.h"
#include "aggregator/span_totals.h"
#include "aggregator/totals_plan.h"
#include "core/timestamp.h"
#include "runtime/postgres/connection.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace tally::aggregator {

inline auto place_of(const WindowKey& key) {
  return std::tuple(key.tenant(), key.meter, key.start_seconds, key.dimensions());
}

// Ordered as the tables' primary keys are.
template <class Value>
std::vector<const typename WindowMap<Value>::Row*> sorted(const WindowMap<Value>& windows) {
  std::vector<const typename WindowMap<Value>::Row*> rows;
  rows.reserve(windows.size());
  for (const auto& row : windows) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const auto* a, const auto* b) { return place_of(a->first) < place_of(b->first); });
  return rows;
}

struct WindowColumns {
  runtime::postgres::ArrayText tenant, meter, start, end, dimensions;

  void add(const MeterSet& meters, const WindowKey& key) {
    tenant.add(key.tenant());
    meter.add(meters.meters()[key.meter].slug);
    start.add(core::to_rfc3339(core::Timestamp::from_seconds(key.start_seconds)));
    end.add(core::to_rfc3339(core::Timestamp::from_seconds(key.end_seconds())));
    dimensions.add(key.dimensions());
  }
};

struct SpanColumns {
  runtime::postgres::ArrayText tenant, meter, span, start, end, dimensions, first_date;

  void add(const MeterSet& meters, const SpanKey& key) {
    tenant.add(key.tenant);
    meter.add(meters.meters()[key.meter].slug);
    span.add(to_string(key.span));
    start.add(core::to_rfc3339(core::Timestamp::from_seconds(key.start_seconds)));
    end.add(core::to_rfc3339(core::Timestamp::from_seconds(key.end_seconds)));
    dimensions.add(key.dimensions);
    first_date.add(std::int64_t{key.first_date});
  }
};

}  // namespace tally::aggregator
