// TotalsStore over one Postgres connection, opened when needed and anew after it broke.
#pragma once

#include "aggregator/dimension_guard.h"
#include "aggregator/store_step.h"
#include "aggregator/totals_store.h"
#include "core/limits.h"
#include "runtime/postgres/connection.h"

#include <optional>
#include <set>
#include <string>

namespace tally::aggregator {

class PostgresStore final : public TotalsStore {
 public:
  // Does not connect yet. `application_name` shows in pg_stat_activity. Without an observer the
  // steps are failpoints: "aggregator.before_commit", "aggregator.in_commit" and so on.
  PostgresStore(std::string conninfo, std::string application_name, StoreObserver observer = {},
                DimensionGuard guard = DimensionGuard(core::kMaxDimensionCombinations));

  Deployment open(const OpenRequest& request) override;
  std::int32_t never_owned() override;
  std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) override;
  std::optional<LogDay> slowest_day() override;
  std::vector<HandoffRow> waiting_handoffs(core::PartitionId home,
                                           const std::set<core::HandoffId>& under_way,
                                           std::optional<LogDay> last_day) override;
  CommitOutcome commit(const BatchPlan& plan) override;
  Resolution resolve(const BatchPlan& plan) override;
  RollUp roll_up(const PartitionClaim& claim) override;
  void drop_expired() override;

 private:
  runtime::postgres::Connection& connection();
  template <class Work>
  auto guarded(Work work);  // drops the connection when it breaks, and passes the failure on
  void try_commit(const BatchPlan& plan);
  void ensure_days(const BatchPlan& plan, runtime::postgres::Connection& database);

  std::string conninfo_;
  std::string application_name_;
  StoreObserver observe_;
  DimensionGuard guard_;
  std::optional<runtime::postgres::Connection> connection_;
  std::set<LogDay> seen_days_;  // of dedup memory: their tables are there
};

}  // namespace tally::aggregator
