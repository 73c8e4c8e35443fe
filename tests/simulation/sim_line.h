// The connection of a simulated process to the simulated database, with everything that can go
// wrong on it: stops, kills, broken connections, lost answers, ghosts.
#pragma once

#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_database.h"
#include "tests/simulation/sim_store.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::simulation {

// Chances in 1000, per statement or per COMMIT, while faults are on.
struct StoreRules {
  std::int64_t broken_per_mille = 0;         // the connection breaks before a statement
  std::int64_t serialization_per_mille = 0;  // the server refuses a statement with 40001
  std::int64_t crash_per_mille = 0;          // the process is killed there
  std::int64_t crash_at_step_per_mille = 0;  // ... at a named step
  std::int64_t lost_answer_per_mille = 0;    // per COMMIT: done, or not, but never answered
  std::int64_t ghost_per_mille = 0;          // per COMMIT: still under way when the client gives up
  std::int64_t pipelined_per_mille = 0;      // per commit(): all was sent, the server works it off
};

// The server's side of broken connections: transactions that live on for a while.
class Lingering {
 public:
  Lingering(Scheduler& scheduler, SimDatabase& database)
      : scheduler_(scheduler), database_(database) {}

  // Ends at a later moment: by COMMIT or by rollback.
  void ghost(const SimDatabase::Handle& transaction, bool commits);
  // The server has not noticed yet that the client is gone.
  void orphan(const SimDatabase::Handle& transaction);
  void settle_due();
  void forget_all() { waiting_.clear(); }
  [[nodiscard]] bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    SimDatabase::Handle transaction;
    std::int64_t due_us = 0;
    bool commits = false;
    bool is_ghost = false;
  };
  Scheduler& scheduler_;
  SimDatabase& database_;
  std::vector<Waiting> waiting_;
};

struct Plant {
  Scheduler& scheduler;
  SimDatabase& database;
  Lingering& lingering;
  StoreRules rules;  // zeroed when the run is to come to rest
  // Told of each named step of a process' store, in that process; may kill it there.
  std::function<void(aggregator::StoreStep)> on_step = nullptr;
};

class SimLine : public Line {
 public:
  SimLine(Plant& plant, std::string name) : plant_(plant), name_(std::move(name)) {}

  void connect() override;
  void statement(const SimDatabase::Handle& transaction) override;
  void wait_for_lock(const SimDatabase::Handle& transaction,
                     const std::function<bool()>& free) override;
  void step(aggregator::StoreStep step) override;
  void commit(const SimDatabase::Handle& transaction) override;
  void abandon(const SimDatabase::Handle& transaction) noexcept override;
  [[nodiscard]] std::int64_t now_us() const override { return plant_.scheduler.now_us(); }
  [[nodiscard]] std::string name() const override { return name_; }
  void met(std::string_view what) override;

 protected:
  [[nodiscard]] Plant& plant() { return plant_; }

 private:
  void check_alive(const SimDatabase::Handle& transaction);
  void maybe_crash(std::int64_t per_mille, Event where);

  Plant& plant_;
  std::string name_;
  std::optional<std::uint64_t> connected_;  // since this many times that the server went down
};

// The store of a simulated process: counts what it meets, and now and then sends a commit in one
// flush and loses the connection, while the server works it off.
class ProcessStore final : public aggregator::TotalsStore {
 public:
  ProcessStore(Plant& plant, const std::string& name)
      : plant_(plant),
        line_(std::make_shared<SimLine>(plant, name)),
        store_(plant.database, line_) {}
  // After some commits the partitions are rolled up over another connection, whether due or not.
  ProcessStore(Plant& plant, const std::string& name, std::int64_t roll_up_per_mille)
      : ProcessStore(plant, name) {
    roller_ = std::make_unique<ProcessStore>(plant, name + ".roll-up");
    roll_up_per_mille_ = roll_up_per_mille;
  }

  aggregator::Deployment open(const aggregator::OpenRequest& request) override {
    return store_.open(request);
  }
  std::unique_ptr<aggregator::PartitionState> acquire(
      const aggregator::AcquireRequest& request) override {
    return store_.acquire(request);
  }
  std::optional<LogDay> slowest_day() override { return store_.slowest_day(); }
  std::vector<aggregator::HandoffRow> waiting_handoffs(core::PartitionId home,
                                                       const std::set<core::HandoffId>& under_way,
                                                       std::optional<LogDay> last_day) override {
    return store_.waiting_handoffs(home, under_way, last_day);
  }
  aggregator::CommitOutcome commit(const aggregator::BatchPlan& plan) override;
  aggregator::Resolution resolve(const aggregator::BatchPlan& plan) override;
  std::int32_t never_owned() override { return store_.never_owned(); }
  aggregator::RollUp roll_up(const aggregator::PartitionClaim& claim) override {
    return store_.roll_up(claim);
  }
  void drop_expired() override { store_.drop_expired(); }

 private:
  void send_and_lose(const aggregator::BatchPlan& plan);
  void roll_up_now_and_then(const aggregator::BatchPlan& plan);

  Plant& plant_;
  std::shared_ptr<SimLine> line_;
  SimStore store_;
  std::unique_ptr<ProcessStore> roller_;
  std::int64_t roll_up_per_mille_ = 0;
};

}  // namespace tally::simulation
