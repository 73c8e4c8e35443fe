// What a plan adds to days, months and billing periods. Windows never cross their edges, so each
// span gains exactly what the windows that start in it gain. Pure.
#pragma once

#include "aggregator/totals_plan.h"

#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>

namespace tally::aggregator {

enum class Span : std::uint8_t { kDay, kMonth, kPeriod };
[[nodiscard]] std::string_view to_string(Span span);

// Ordered as the tables' primary keys are. Texts point into the plan.
struct SpanKey {
  std::string_view tenant;
  std::uint16_t meter = 0;
  Span span = Span::kDay;
  std::int64_t start_seconds = 0;
  std::string_view dimensions;
  std::int64_t end_seconds = 0;
  std::int32_t first_date = 0;  // of the start, in days since 1970
  friend bool operator<(const SpanKey& a, const SpanKey& b) {
    return std::tie(a.tenant, a.meter, a.span, a.start_seconds, a.dimensions) <
           std::tie(b.tenant, b.meter, b.span, b.start_seconds, b.dimensions);
  }
};
template <class Value>
using SpanMap = std::map<SpanKey, Value>;

struct SpanTotals {
  SpanMap<core::UsageDelta> usage;  // over all dimensions
  SpanMap<core::GaugeReading> gauges;
  SpanMap<core::MaxReading> maxima;
  SpanMap<core::MinReading> minima;
  SpanMap<UniqueSet> uniques;  // over all dimensions
};

// Lives no longer than the plan.
[[nodiscard]] SpanTotals span_totals(const TotalsPlan& plan);

// The first date of the tenant's span, as stored with the sets of windows.
[[nodiscard]] std::int32_t local_date_of(const TotalsPlan& plan, const WindowKey& key);

}  // namespace tally::aggregator
