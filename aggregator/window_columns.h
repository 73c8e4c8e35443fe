// Keys of windows and spans as columns of text for unnest(), in the order of their rows.
#pragma once

#include "aggregator/meter_set.h"
#include "aggregator/span_totals.h"
#include "aggregator/totals_plan.h"
#include "core/timestamp.h"
#include "runtime/postgres/connection.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <string>

namespace tally::aggregator {

// Texts of moments, each made once: a commit has many rows and few moments.
class TimeTexts {
 public:
  const std::string& of(std::int64_t seconds) {
    const auto [found, fresh] = texts_.try_emplace(seconds);
    if (fresh) found->second = core::to_rfc3339(core::Timestamp::from_seconds(seconds));
    return found->second;
  }

 private:
  boost::unordered_flat_map<std::int64_t, std::string> texts_;
};

struct WindowColumns {
  runtime::postgres::ArrayText tenant, meter, start, end, dimensions;

  void add(const MeterSet& meters, const WindowKey& key) {
    tenant.add(key.tenant());
    meter.add(meters.meters()[key.meter].slug);
    start.add(times_.of(key.start_seconds));
    end.add(times_.of(key.end_seconds()));
    dimensions.add(key.dimensions());
  }

 private:
  TimeTexts times_;
};

struct SpanColumns {
  runtime::postgres::ArrayText tenant, meter, span, start, end, dimensions, first_date;

  void add(const MeterSet& meters, const SpanKey& key) {
    tenant.add(key.tenant);
    meter.add(meters.meters()[key.meter].slug);
    span.add(to_string(key.span));
    start.add(times_.of(key.start_seconds));
    end.add(times_.of(key.end_seconds));
    dimensions.add(key.dimensions);
    first_date.add(std::int64_t{key.first_date});
  }

 private:
  TimeTexts times_;
};

}  // namespace tally::aggregator
