// The part of a commit that writes unique counts.
#pragma once

#include "aggregator/meter_set.h"
#include "aggregator/plan_rows.h"
#include "aggregator/span_totals.h"
#include "runtime/postgres/connection.h"

namespace tally::aggregator {

// Sets of windows, then of days, months and periods. A set's row is locked, in key order, before
// its members are written, so commits that share a set go one after the other and its count stays
// exact.
void write_uniques(const PlanRows& rows, const SpanTotals& spans, const MeterSet& meters,
                   runtime::postgres::Transaction& transaction);

}  // namespace tally::aggregator
