// The outbox table: taken up by workers, and moved through its states. Every write names the state
// that it expects, so that a second exporter, or a person, can never be overwritten unseen.
#pragma once

#include "exporter/outbox_row.h"
#include "exporter/sender.h"
#include "runtime/postgres/connection.h"

#include <cstddef>
#include <string>
#include <vector>

namespace tally::exporter {

// Rows in `planned` and `sending`, oldest first. Throws what the connection throws.
[[nodiscard]] std::vector<OutboxRow> read_open_rows(runtime::postgres::Connection& connection);

// What stands in the way of "everything is at Stripe", whoever put it there.
struct OutboxStanding {
  std::size_t planned = 0;
  std::size_t sending = 0;
  std::size_t uncertain = 0;
  std::size_t held = 0;
};
[[nodiscard]] OutboxStanding read_standing(runtime::postgres::Connection& connection);

// One worker's. Borrows the connection.
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

// At most one exporter works on a database: a session lock on a connection of its own.
class ExporterLock {
 public:
  explicit ExporterLock(const std::string& conninfo);
  // True: ours. Asks the server each time, so it is also the way to see that it is still held.
  [[nodiscard]] bool try_hold();

 private:
  runtime::postgres::Connection connection_;
  bool held_ = false;
};

}  // namespace tally::exporter
