// A planning step in Postgres: what exporter/export_store.h asks of it, as SQL.
#pragma once

#include "exporter/export_store.h"
#include "exporter/totals_reader.h"
#include "runtime/postgres/connection.h"

#include <vector>

namespace tally::exporter {

// Borrows the connection, which does nothing else meanwhile. One thread. Throws what the
// connection throws. The transaction-level lock makes two planners follow one another whatever
// becomes of their sessions.
class PostgresPlanTransaction final : public PlanTransaction {
 public:
  PostgresPlanTransaction(runtime::postgres::Connection& connection, PlanMode mode);
  core::IdentityHasher hasher() override;
  OpenSeries open_series() override;
  Totals totals(core::Timestamp now) override;
  UsedMinutes used_minutes(const Totals& totals, const DuePlan& plan) override;
  void write(const Totals& totals, const std::vector<Obstacle>& held,
             const std::vector<NewRow>& rows, core::Timestamp now) override;
  void commit() override;

 private:
  runtime::postgres::Transaction transaction_;
};

}  // namespace tally::exporter
