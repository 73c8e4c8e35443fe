// TotalsStore over one Postgres connection, opened when needed and anew after it broke.
#pragma once

#include "aggregator/totals_store.h"
#include "runtime/postgres/connection.h"

#include <optional>
#include <string>

namespace tally::aggregator {

class PostgresStore final : public TotalsStore {
 public:
  // Does not connect yet. `application_name` shows in pg_stat_activity.
  PostgresStore(std::string conninfo, std::string application_name);

  Deployment open(const std::string& topic, std::int32_t partitions) override;
  std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) override;
  CommitOutcome commit(const BatchPlan& plan) override;
  Resolution resolve(const BatchPlan& plan) override;

 private:
  runtime::postgres::Connection& connection();
  template <class Work>
  auto guarded(Work work);  // drops the connection when it breaks, and passes the failure on

  std::string conninfo_;
  std::string application_name_;
  std::optional<runtime::postgres::Connection> connection_;
};

}  // namespace tally::aggregator
