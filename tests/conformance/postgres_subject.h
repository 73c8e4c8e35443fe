// Real Postgres under the conformance suite: a database of its own, a thread and a relay for each
// connection.
#pragma once

#include "runtime/postgres/connection.h"
#include "tests/conformance/store_under_test.h"
#include "tests/integration/postgres/scratch_database.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tally::conformance {

class PostgresSubject final : public StoreUnderTest {
 public:
  PostgresSubject();
  ~PostgresSubject() override;

  std::unique_ptr<StoreConnection> connect() override;
  void end_ghost(GhostEnd end) override;
  void change_catalogue(const std::vector<core::Meter>& meters) override;
  void change_horizon(std::int64_t horizon_seconds, std::int64_t future_bound_seconds) override;
  StoredBook read() override;
  void readmit(core::PartitionId home, std::int64_t records, const std::string& block) override;

  // For what only Postgres has. Not for a connection under test.
  runtime::postgres::Connection& control() { return control_; }

 private:
  friend class PostgresConnection;
  [[nodiscard]] std::string conninfo_through(std::uint16_t port) const;
  // The server process that serves the connection of this name, but for the ghost's; 0: none.
  std::int64_t backend(const std::string& name);
  bool is_blocked(const std::string& name);
  bool waits_as_ghost(const std::string& name);  // in its COMMIT, for end_ghost()

  integration::ScratchDatabase database_;
  runtime::postgres::Connection control_;
  std::string host_;
  std::uint16_t port_ = 0;
  int connections_ = 0;
  std::int64_t ghost_ = 0;  // its server process
};

}  // namespace tally::conformance
