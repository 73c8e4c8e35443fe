// A database of one test on the server of TALLY_TEST_PG; dropped when the object ends.
#pragma once

#include "admin/migrations.h"
#include "runtime/postgres/connection.h"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

namespace tally::integration {

class ScratchDatabase {
 public:
  ScratchDatabase() : server_(server()) {
    static int number = 0;
    name_ = "scratch_" + std::to_string(::getpid()) + "_" + std::to_string(++number);
    runtime::postgres::Connection(server_, "test").exec("CREATE DATABASE " + name_);
  }
  ~ScratchDatabase() {
    runtime::postgres::Connection(server_, "test").exec("DROP DATABASE " + name_ + " WITH (FORCE)");
  }
  ScratchDatabase(const ScratchDatabase&) = delete;
  ScratchDatabase& operator=(const ScratchDatabase&) = delete;

  [[nodiscard]] runtime::postgres::Connection connect() const {
    return {server_ + " dbname=" + name_, "test"};
  }
  // Connected, with all migrations applied.
  [[nodiscard]] runtime::postgres::Connection migrated() const {
    auto connection = connect();
    std::ostringstream out;
    if (const auto done = admin::migrate(connection, admin::embedded_migrations(), out); !done) {
      throw std::runtime_error(done.error().message);
    }
    return connection;
  }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  static std::string server() {
    const char* conninfo = std::getenv("TALLY_TEST_PG");
    if (conninfo == nullptr)
      throw std::runtime_error("TALLY_TEST_PG is not set: run through ctest");
    return conninfo;
  }
  std::string server_;
  std::string name_;
};

// Ends another session as a lost connection would, and waits until the server has let it go.
inline void terminate(runtime::postgres::Connection& killer, std::int64_t backend) {
  killer.exec("SELECT pg_terminate_backend($1::integer, 5000)", {std::to_string(backend)});
}

// Asks until the condition holds or 20 s are over.
inline bool eventually(runtime::postgres::Connection& connection, const std::string& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (connection.exec("SELECT " + condition).boolean(0, 0)) return true;
    connection.exec("SELECT pg_sleep(0.01)");
  }
  return false;
}

inline std::int64_t count(runtime::postgres::Connection& connection, const std::string& query) {
  return connection.exec("SELECT count(*) FROM " + query).int64(0, 0);
}

}  // namespace tally::integration
