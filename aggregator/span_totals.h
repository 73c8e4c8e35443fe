// What a plan adds to days, months and billing periods. Windows never cross their edges, so each
// span gains exactly what the windows that start in it gain. Pure.
#pragma once

#include "aggregator/plan_rows.h"
#include "aggregator/totals_plan.h"

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

enum class Span : std::uint8_t { kDay, kMonth, kPeriod };
[[nodiscard]] std::string_view to_string(Span span);

// Texts point into the plan.
struct SpanKey {
  std::string_view tenant;
  std::uint16_t meter = 0;
  Span span = Span::kDay;
  std::int64_t start_seconds = 0;
  std::string_view dimensions;
  std::int64_t end_seconds = 0;
  std::int32_t first_date = 0;  // of the start, in days since 1970
};
// In the order of the tables' primary keys: tenant, meter, span, start, dimensions. Each key once.
template <class Value>
using SpanRow = std::pair<SpanKey, Value>;
template <class Value>
using SpanRows = std::vector<SpanRow<Value>>;

struct SpanTotals {
  SpanRows<core::UsageDelta> usage;  // over all dimensions
  SpanRows<core::GaugeReading> gauges;
  SpanRows<core::MaxReading> maxima;
  SpanRows<core::MinReading> minima;
  SpanRows<UniqueSet> uniques;  // over all dimensions
};

// Lives no longer than the plan.
[[nodiscard]] SpanTotals span_totals(const PlanRows& rows);

// The first date of the tenant's span, as stored with the sets of windows.
[[nodiscard]] std::int32_t local_date_of(const TotalsPlan& plan, const WindowKey& key);

}  // namespace tally::aggregator
