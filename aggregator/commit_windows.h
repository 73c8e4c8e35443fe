// The part of a commit that writes what counted records add.
#pragma once

#include "aggregator/dimension_guard.h"
#include "aggregator/meter_set.h"
#include "aggregator/totals_plan.h"
#include "runtime/postgres/connection.h"

namespace tally::aggregator {

// Within the commit's transaction, after the fence. Tables in a fixed order: the guard of
// dimensions, usage windows, gauge windows, unique sets and members, usage totals, gauge totals;
// rows of a table in key order (COLLATE "C"), so that two instances never deadlock.
void write_windows(const TotalsPlan& folded, const MeterSet& meters, DimensionGuard& guard,
                   runtime::postgres::Transaction& transaction);

}  // namespace tally::aggregator
