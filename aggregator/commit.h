// The one function that executes a plan: the statements of a commit, in their fixed order.
#pragma once

#include "aggregator/batch_plan.h"
#include "runtime/postgres/connection.h"

namespace tally::aggregator {

// Within an open transaction; does not commit. Order: the fence, ledger, dedup segments, usage
// windows, gauge windows, rejects, overflow, lost ranges, meter counts; rows of a table in key
// order (COLLATE "C"), so that two instances never deadlock. Throws StatementFailed with TY001
// (fenced) or TY002 (catalogue moved) from its first statement.
void execute(const BatchPlan& plan, runtime::postgres::Transaction& transaction);

inline constexpr const char* kFencedState = "TY001";
inline constexpr const char* kCatalogueMovedState = "TY002";

}  // namespace tally::aggregator
