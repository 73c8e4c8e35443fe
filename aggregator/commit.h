// The one function that executes a plan: the statements of a commit, in their fixed order.
#pragma once

#include "aggregator/batch_plan.h"
#include "aggregator/dimension_guard.h"
#include "aggregator/store_step.h"
#include "runtime/postgres/connection.h"

namespace tally::aggregator {

// Within an open READ COMMITTED transaction; does not commit. Order: the fence, handed-off rows
// that are taken, ledgers, handed-off rows that are added, dedup segments, the totals, rejects,
// overflow, lost ranges, meter counts; rows of a table in key order (COLLATE "C"), so that two
// instances never deadlock. The days of the segments must have their tables. Throws StatementFailed
// with TY001 (fenced) or TY002 (catalogue moved) from its first statements.
void execute(const BatchPlan& plan, const StoreObserver& observe, DimensionGuard& guard,
             runtime::postgres::Transaction& transaction);

// The dedup segments alone, for execute() and for whoever makes a memory as large as it likes to
// measure it. Each has a token; its day has its tables.
void write_segments(const BatchPlan& plan, runtime::postgres::Transaction& transaction);

inline constexpr const char* kFencedState = "TY001";
inline constexpr const char* kCatalogueMovedState = "TY002";

}  // namespace tally::aggregator
