// A small model of the Postgres that the aggregator stands on: transactions with row locks held to
// their end, writes that nobody sees before COMMIT, REPEATABLE READ snapshots, and a server that
// can break in every way that a client must survive. What each call of the aggregator's store does
// with it stands in sim_store.cc; tests/conformance holds the two together to what real Postgres
// does.
#pragma once

#include "aggregator/batch_plan.h"
#include "tests/simulation/tables.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::simulation {

// What a transaction can hold: one row. The order is the order of locking.
enum class LockTable : std::uint8_t { kDeployment, kPartition, kCatalogue, kPeriods };
using LockKey = std::pair<LockTable, std::int64_t>;
enum class LockMode : std::uint8_t { kShared, kExclusive };

struct Transaction {
  std::uint64_t number = 0;
  bool alive = true;
  bool lingers = false;  // its client is gone, the server ends it later
  CommitNumber snapshot = 0;
  std::int64_t last_active_us = 0;
  std::string client;
  std::vector<std::function<void(Tables&, CommitNumber)>> writes;
};

class SimDatabase {
 public:
  using Handle = std::shared_ptr<Transaction>;

  // Told of each commit of a plan, after it was applied.
  std::function<void(const aggregator::BatchPlan&, const Tables&)> on_plan_committed;
  Handle begin(std::int64_t now_us, std::string client);
  // False: another transaction holds it.
  bool try_lock(const Handle& transaction, const LockKey& key, LockMode mode);
  void commit(const Handle& transaction);
  void rollback(const Handle& transaction);  // also of one that ended: no effect
  // idle_in_transaction_session_timeout: ends those whose client said nothing for 5 s.
  std::size_t kill_idle(std::int64_t now_us);
  void kill_all();  // the server goes down: every connection is broken
  [[nodiscard]] std::uint64_t downs() const { return downs_; }
  [[nodiscard]] bool has_open(std::string_view client) const;

  [[nodiscard]] const Tables& tables() const { return tables_; }
  Tables& tables() { return tables_; }
  [[nodiscard]] CommitNumber commits() const { return commits_; }
  // What `Tables::catalogue` points into; made before the run.
  std::vector<std::shared_ptr<const aggregator::MeterSet>> catalogues;
  std::vector<TenantRows> tenants;  // beside `catalogues`; empty: nobody is in the book
  core::IdentityHasher::Key identity_key{};
  // The server's clock, which judges log times from the future.
  core::Timestamp clock;
  bool up = true;

 private:
  void end(const Handle& transaction);

  Tables tables_;
  CommitNumber commits_ = 0;
  std::uint64_t next_transaction_ = 1;
  std::uint64_t downs_ = 0;
  std::vector<Handle> open_;
  std::map<LockKey, std::map<std::uint64_t, LockMode>> locks_;
};

}  // namespace tally::simulation
