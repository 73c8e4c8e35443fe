// The aggregator's store over the simulated database: what each call does there, statement by
// statement. Where the client may be stopped, killed or cut off is the Line's business.
#pragma once

#include "aggregator/store_step.h"
#include "aggregator/totals_store.h"
#include "tests/simulation/sim_database.h"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace tally::simulation {

// A connection as its client feels it. Each call may throw Unavailable, StatementFailed or Crashed;
// the transaction is then rolled back by whoever began it.
class Line {
 public:
  virtual ~Line() = default;

  // Before a transaction begins.
  virtual void connect() = 0;
  // Before each statement of an open transaction.
  virtual void statement(const SimDatabase::Handle& transaction) = 0;
  // Another transaction holds the row: returns when `free` holds. Throws 55P03 after lock_timeout.
  virtual void wait_for_lock(const SimDatabase::Handle& transaction,
                             const std::function<bool()>& free) = 0;
  virtual void step(aggregator::StoreStep step) = 0;
  // COMMIT. Throws InDoubt when the answer is lost, whatever happens to the transaction.
  virtual void commit(const SimDatabase::Handle& transaction) = 0;
  // The client is gone or gave up in the middle.
  virtual void abandon(const SimDatabase::Handle& transaction) noexcept = 0;
  [[nodiscard]] virtual std::int64_t now_us() const = 0;
  [[nodiscard]] virtual std::string name() const = 0;
  // What a call met, for the coverage.
  virtual void met(std::string_view) {}
};

class SimStore final : public aggregator::TotalsStore {
 public:
  SimStore(SimDatabase& database, std::shared_ptr<Line> line)
      : database_(database), line_(std::move(line)) {}

  aggregator::Deployment open(const aggregator::OpenRequest& request) override;
  std::unique_ptr<aggregator::PartitionState> acquire(
      const aggregator::AcquireRequest& request) override;
  std::optional<LogDay> slowest_day() override;
  std::vector<aggregator::HandoffRow> waiting_handoffs(core::PartitionId home,
                                                       const std::set<core::HandoffId>& under_way,
                                                       std::optional<LogDay> last_day) override;
  aggregator::CommitOutcome commit(const aggregator::BatchPlan& plan) override;
  aggregator::Resolution resolve(const aggregator::BatchPlan& plan) override;
  std::int32_t never_owned() override;
  aggregator::RollUp roll_up(const aggregator::PartitionClaim& claim) override;
  void drop_expired() override;

 private:
  class Client;

  void open_periods();
  void insert_partition(const aggregator::AcquireRequest& request);
  std::unique_ptr<aggregator::PartitionState> acquire_once(
      const aggregator::AcquireRequest& request);
  std::unique_ptr<aggregator::PartitionState> load_memory(const aggregator::AcquireRequest& request,
                                                          const PartitionRow& row, Client& client);

  SimDatabase& database_;
  std::shared_ptr<Line> line_;
};

// The statements of a commit but COMMIT itself, in an open transaction. Throws StatementFailed with
// TY001 (fenced), TY002 (catalogue moved) or TY003 (log time from the future).
void execute(const std::shared_ptr<const aggregator::BatchPlan>& plan,
             const SimDatabase::Handle& transaction, SimDatabase& database, Line& line);

}  // namespace tally::simulation
