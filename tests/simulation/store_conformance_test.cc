// The conformance suite over the simulated store: what the schedules stand on does what real
// Postgres does.
#include "core/check.h"
#include "runtime/postgres/connection.h"
#include "tests/conformance/suite.h"
#include "tests/simulation/fiber.h"
#include "tests/simulation/sim_store.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace tally::conformance {
namespace {

using aggregator::TotalsStore;
using runtime::postgres::InDoubt;
using runtime::postgres::StatementFailed;
using runtime::postgres::Unavailable;
using simulation::Crashed;
using simulation::Fiber;
using simulation::Process;
using simulation::SimDatabase;

// The client's side, stepped by the test.
class SteppedLine final : public simulation::Line {
 public:
  explicit SteppedLine(SimDatabase& database, SimDatabase::Handle& ghost)
      : database_(database), ghost_(ghost) {}

  void connect() override {}
  void statement(const SimDatabase::Handle& transaction) override {
    if (!transaction->alive) throw Unavailable("the connection is closed");
  }
  void wait_for_lock(const SimDatabase::Handle& transaction,
                     const std::function<bool()>& free) override {
    while (!free()) {
      stand(Halt::kBlocked);
      statement(transaction);
      if (std::exchange(timed_out, false)) throw StatementFailed("55P03", "lock timeout");
    }
  }
  void step(StoreStep step) override {
    if (wanted == step) stand(Halt::kAtStep);
  }
  void commit(const SimDatabase::Handle& transaction) override {
    if (committing_plan && std::exchange(lose_commit, false)) {
      transaction->lingers = true;
      ghost_ = transaction;
      throw InDoubt("the connection broke after COMMIT was sent");
    }
    database_.commit(transaction);
  }
  void abandon(const SimDatabase::Handle& transaction) noexcept override {
    if (!transaction->lingers) database_.rollback(transaction);
  }
  [[nodiscard]] std::int64_t now_us() const override { return 0; }
  [[nodiscard]] std::string name() const override { return "connection"; }

  Fiber* fiber = nullptr;
  std::optional<StoreStep> wanted;
  Halt halt = Halt::kFinished;
  bool lose_commit = false;
  bool committing_plan = true;
  bool timed_out = false;
  bool broken = false;

 private:
  void stand(Halt where) {
    halt = where;
    fiber->give_way();
    if (fiber->process().crashed) throw Crashed();
    if (std::exchange(broken, false)) throw Unavailable("the connection broke");
  }
  SimDatabase& database_;
  SimDatabase::Handle& ghost_;
};

class SimConnection final : public StoreConnection {
 public:
  SimConnection(SimDatabase& database, SimDatabase::Handle& ghost)
      : line_(std::make_shared<SteppedLine>(database, ghost)), store_(database, line_) {}
  ~SimConnection() override {
    if (!fiber_ || fiber_->done()) return;
    process_->crashed = true;
    fiber_->resume();
  }

  void start(Call call) override {
    TALLY_CHECK(!fiber_ || fiber_->done());
    process_ = std::make_shared<Process>();
    failure_ = nullptr;
    fiber_ = std::make_unique<Fiber>(process_, [this, call = std::move(call)] {
      if (process_->crashed) return;
      try {
        call(store_);
      } catch (const std::exception&) {
        failure_ = std::current_exception();
      }
    });
    line_->fiber = fiber_.get();
  }
  Halt run_to(StoreStep step) override {
    line_->wanted = step;
    return go_on();
  }
  Halt finish() override {
    line_->wanted.reset();
    return go_on();
  }
  [[nodiscard]] std::exception_ptr failure() const override { return failure_; }
  void time_out() override {
    line_->timed_out = true;
    finish();
  }
  void cut() override {
    line_->broken = true;
    finish();
  }
  void lose_next_commit() override { line_->lose_commit = true; }

 private:
  Halt go_on() {
    if (fiber_->done()) return Halt::kFinished;
    line_->halt = Halt::kFinished;
    fiber_->resume();
    return fiber_->done() ? Halt::kFinished : line_->halt;
  }

  std::shared_ptr<SteppedLine> line_;
  simulation::SimStore store_;
  std::shared_ptr<Process> process_;
  std::unique_ptr<Fiber> fiber_;
  std::exception_ptr failure_;
};

class SimSubject final : public StoreUnderTest {
 public:
  SimSubject() {
    database_.catalogues.push_back(std::make_shared<aggregator::MeterSet>(
        std::vector<core::Meter>{}, core::CatalogueVersion(1), core::CatalogueVersion(1)));
    database_.clock = core::Timestamp::from_seconds(std::int64_t{40'000} * 86'400);
  }

  std::unique_ptr<StoreConnection> connect() override {
    return std::make_unique<SimConnection>(database_, ghost_);
  }
  void end_ghost(GhostEnd end) override {
    TALLY_CHECK(ghost_ != nullptr);
    end == GhostEnd::kCommits ? database_.commit(ghost_) : database_.rollback(ghost_);
    ghost_.reset();
  }
  void change_catalogue(const std::vector<core::Meter>& meters) override {
    const auto version = core::CatalogueVersion(database_.catalogues.back()->version().value() + 1);
    database_.catalogues.push_back(
        std::make_shared<aggregator::MeterSet>(meters, version, version));
    database_.tables().catalogue = database_.catalogues.size() - 1;
  }
  void change_horizon(std::int64_t horizon_seconds, std::int64_t future_bound_seconds) override {
    simulation::Tables& tables = database_.tables();
    tables.horizon_seconds = horizon_seconds;
    tables.future_bound_seconds = future_bound_seconds;
    change_catalogue(database_.catalogues.back()->meters());
  }
  StoredBook read() override;
  void readmit(core::PartitionId home, std::int64_t records, const std::string& block) override {
    simulation::Tables& tables = database_.tables();
    tables.handoffs.emplace(
        tables.next_handoff++,
        simulation::HandoffStored{home.value(), home.value(), records, block, 0, 0, true});
  }

 private:
  void read_memory(StoredBook& book) const;

  SimDatabase database_;
  SimDatabase::Handle ghost_;
};

void SimSubject::read_memory(StoredBook& book) const {
  for (const auto& [id, row] : database_.tables().segments) {
    if (row.removed != 0) continue;
    (row.replaces.empty() ? book.small_segments : book.rolled_up) += 1;
    auto& entries =
        book.identities[{core::PartitionId(row.partition), row.day, row.topic_partitions}];
    entries.insert(entries.end(), row.entries.begin(), row.entries.end());
  }
  for (auto& [place, entries] : book.identities) std::sort(entries.begin(), entries.end());
}

StoredBook SimSubject::read() {
  const simulation::Tables& tables = database_.tables();
  StoredBook book;
  book.partitions = tables.partitions;
  book.generation = core::Generation(tables.generation);
  for (const auto& [partition, row] : tables.states) {
    StoredPartition stored{core::Epoch(row.epoch), core::Generation(row.generation),
                           core::Offset(row.base), core::Offset(row.next),
                           std::nullopt,           std::nullopt};
    if (row.last_offset) stored.last_offset = core::Offset(*row.last_offset);
    if (row.last_log_time != core::Timestamp()) stored.last_log_time = row.last_log_time;
    book.states.emplace(core::PartitionId(partition), stored);
  }
  for (const auto& [where, line] : tables.ledger) {
    book.ledger[{core::PartitionId(where.first), where.second}] = {
        line.consumed, line.received, line.handed_off, line.counted, line.readmitted, line.skipped};
  }
  read_memory(book);
  for (const auto& [id, row] : tables.handoffs)
    book.handoffs.push_back({core::HandoffId(id), core::PartitionId(row.source),
                             core::PartitionId(row.home), row.records, row.bytes});
  std::map<std::pair<std::string, std::string>, core::UsageDelta> sums;
  for (const auto& [key, delta] : tables.usage) sums[{std::get<0>(key), std::get<1>(key)}] += delta;
  for (const auto& [key, delta] : sums) book.usage[key] = delta.quantity.to_string();
  for (const auto& [place, row] : tables.rejects) {
    const auto& [partition, offset, meter] = place;
    book.rejects[{core::PartitionId(partition), core::Offset(offset), meter}] = {
        row.reject_class, row.reason, row.verdicts};
  }
  return book;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Simulated, StoreConformance,
                         testing::Values(Subject{"simulated",
                                                 [] { return std::make_unique<SimSubject>(); }}),
                         [](const auto& chosen) { return chosen.param.name; });

}  // namespace tally::conformance
