// The outbox table: taken up by the sender, and moved through its states. Every write names the
// state that it expects, so that a second exporter, or a person, can never be overwritten unseen.
#pragma once

#include "exporter/export_store.h"
#include "exporter/outbox_row.h"
#include "exporter/sender.h"
#include "runtime/postgres/connection.h"

#include <memory>
#include <string>
#include <vector>

namespace tally::exporter {

// Borrows the connection.
class PostgresDeliveryLog final : public DeliveryLog {
 public:
  explicit PostgresDeliveryLog(runtime::postgres::Connection& connection)
      : connection_(connection) {}
  // Throws std::runtime_error when a row is no longer in the state that it was taken up in.
  void commit(const Report& report, const std::vector<OutboxRow*>& rows,
              core::Timestamp now) override;

 private:
  runtime::postgres::Connection& connection_;
};

// The store over Postgres: a connection for planning and reading, and one whose session holds the
// exporter's lock.
class PostgresStore final : public ExportStore {
 public:
  // Connects with the first call that needs it.
  explicit PostgresStore(std::string conninfo) : conninfo_(std::move(conninfo)) {}
  bool try_hold() override;
  std::unique_ptr<PlanTransaction> begin_plan(PlanMode mode) override;
  std::vector<OutboxRow> open_rows() override;
  std::vector<UncertainRow> uncertain_rows() override;
  void settle(const Settlement& settlement) override;
  OutboxStanding standing() override;

 private:
  runtime::postgres::Connection& connection();

  std::string conninfo_;
  std::unique_ptr<runtime::postgres::Connection> connection_;
  std::unique_ptr<runtime::postgres::Connection> lock_connection_;
  bool held_ = false;
};

}  // namespace tally::exporter
