// The statements of an acquisition: the epoch is raised, and offset and dedup memory are read in
// the same snapshot.
#pragma once

#include "aggregator/store_step.h"
#include "aggregator/totals_store.h"
#include "runtime/postgres/connection.h"

#include <memory>
#include <optional>

namespace tally::aggregator {

// Of a transaction or a connection.
inline constexpr const char* kSlowestDay = "SELECT tally.slowest_day() - DATE '1970-01-01'";
[[nodiscard]] std::optional<LogDay> slowest_day_in(const runtime::postgres::Rows& answer);

// Makes the partition's row when it has none, born with the deployment's generation; not when that
// is no longer the request's.
void ensure_partition(const AcquireRequest& request, runtime::postgres::Connection& database);

// Within an open REPEATABLE READ transaction, as its first statements; does not commit. nullptr:
// the topology is no longer the request's. Throws StatementFailed 40001 when another transaction
// changed the row in between: begin anew.
std::unique_ptr<PartitionState> load_partition(const AcquireRequest& request,
                                               const StoreObserver& observe,
                                               runtime::postgres::Transaction& transaction);

}  // namespace tally::aggregator
