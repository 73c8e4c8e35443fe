#include "tests/simulation/sim_line.h"

#include "runtime/postgres/connection.h"

#include <map>
#include <string_view>

namespace tally::simulation {

using aggregator::CommitOutcome;
using aggregator::Resolution;
using aggregator::StoreStep;
using runtime::postgres::InDoubt;
using runtime::postgres::NotConnected;
using runtime::postgres::StatementFailed;
using runtime::postgres::Unavailable;

namespace {

constexpr std::int64_t kLockTimeoutUs = 5'000'000;

// On the server: nobody to give way to, nothing to lose but the transaction itself.
class ServerLine final : public Line {
 public:
  explicit ServerLine(Plant& plant) : plant_(plant) {}
  void connect() override {}
  void statement(const SimDatabase::Handle& transaction) override {
    Scheduler& scheduler = plant_.scheduler;
    scheduler.wait_until(scheduler.now_us() + scheduler.dice().between(0, 400'000), nullptr);
    if (!transaction->alive) throw Unavailable("the server was shut down");
    transaction->last_active_us = scheduler.now_us();
  }
  void wait_for_lock(const SimDatabase::Handle& transaction,
                     const std::function<bool()>& free) override {
    plant_.scheduler.wait_until(plant_.scheduler.now_us() + kLockTimeoutUs,
                                [&] { return !transaction->alive || free(); });
    if (!transaction->alive) throw Unavailable("the server was shut down");
    transaction->last_active_us = plant_.scheduler.now_us();
    if (!free()) throw StatementFailed("55P03", "lock timeout");
  }
  void step(StoreStep) override {}
  void commit(const SimDatabase::Handle& transaction) override {
    plant_.database.commit(transaction);
  }
  void abandon(const SimDatabase::Handle& transaction) noexcept override {
    plant_.database.rollback(transaction);
  }
  [[nodiscard]] std::int64_t now_us() const override { return plant_.scheduler.now_us(); }
  [[nodiscard]] std::string name() const override { return "server"; }

 private:
  Plant& plant_;
};

}  // namespace

void Lingering::ghost(const SimDatabase::Handle& transaction, bool commits) {
  scheduler_.coverage().count(Event::kGhostStarted);
  const std::int64_t due = scheduler_.now_us() + scheduler_.dice().between(0, 3'000'000);
  transaction->lingers = true;
  waiting_.push_back({transaction, due, commits, true});
}

void Lingering::orphan(const SimDatabase::Handle& transaction) {
  const std::int64_t due = scheduler_.now_us() + scheduler_.dice().between(0, 1'000'000);
  transaction->lingers = true;
  waiting_.push_back({transaction, due, false, false});
}

void Lingering::settle_due() {
  for (std::size_t i = 0; i < waiting_.size();) {
    const Waiting waiting = waiting_[i];
    waiting.transaction->last_active_us = scheduler_.now_us();  // the server's turn, not a client's
    if (waiting.due_us > scheduler_.now_us()) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    const bool commits = waiting.commits && waiting.transaction->alive;
    scheduler_.note("server: {} of {} {}", waiting.is_ghost ? "the ghost" : "an orphan",
                    waiting.transaction->client, commits ? "commits" : "is rolled back");
    if (commits) {
      database_.commit(waiting.transaction);
    } else {
      database_.rollback(waiting.transaction);
    }
    if (waiting.is_ghost)
      scheduler_.coverage().count(commits ? Event::kGhostCommitted : Event::kGhostRefused);
  }
}

void SimLine::check_alive(const SimDatabase::Handle& transaction) {
  if (!plant_.database.up) throw Unavailable("the database is shut down");
  if (!transaction->alive) throw Unavailable("the server closed the connection");
  transaction->last_active_us = now_us();
}

void SimLine::maybe_crash(std::int64_t per_mille, Event where) {
  if (!plant_.scheduler.dice().per_mille(per_mille)) return;
  plant_.scheduler.note("{}: killed", name_);
  plant_.scheduler.coverage().count(Event::kCrash);
  plant_.scheduler.coverage().count(where);
  plant_.scheduler.current_process().crashed = true;
  throw Crashed();
}

void SimLine::connect() {
  plant_.scheduler.point();
  const std::uint64_t downs = plant_.database.downs();
  const bool broke = connected_ && *connected_ != downs;
  if (broke || !plant_.database.up) {
    connected_.reset();
    if (broke) throw Unavailable("the server ended the connection");
    throw NotConnected("connection refused");
  }
  connected_ = downs;
}

void SimLine::statement(const SimDatabase::Handle& transaction) {
  Scheduler& scheduler = plant_.scheduler;
  scheduler.point();
  check_alive(transaction);
  maybe_crash(plant_.rules.crash_per_mille, Event::kCrashInCommit);
  if (scheduler.dice().per_mille(plant_.rules.broken_per_mille)) {
    scheduler.coverage().count(Event::kBrokenConnection);
    throw Unavailable("the connection broke");
  }
  if (scheduler.dice().per_mille(plant_.rules.serialization_per_mille)) {
    scheduler.coverage().count(Event::kSerializationFailure);
    throw StatementFailed("40001", "could not serialize access");
  }
}

void SimLine::wait_for_lock(const SimDatabase::Handle& transaction,
                            const std::function<bool()>& free) {
  // The row may be free and the transaction killed at once: asking for the lock must not revive it.
  bool locked = false;
  plant_.scheduler.wait_until(now_us() + kLockTimeoutUs, [&] {
    return !plant_.database.up || !transaction->alive || (locked = locked || free());
  });
  check_alive(transaction);
  if (locked || free()) return;
  plant_.scheduler.coverage().count(Event::kLockTimeout);
  throw StatementFailed("55P03", "canceling statement due to lock timeout");
}

void SimLine::step(StoreStep step) {
  if (plant_.on_step) plant_.on_step(step);
  if (step == StoreStep::kFenced || step == StoreStep::kInCommit || step == StoreStep::kAfterCommit)
    maybe_crash(plant_.rules.crash_at_step_per_mille, Event::kCrashInCommit);
  if (step == StoreStep::kEpochRaised || step == StoreStep::kMemoryLoaded)
    maybe_crash(plant_.rules.crash_at_step_per_mille, Event::kCrashInAcquire);
}

void SimLine::commit(const SimDatabase::Handle& transaction) {
  Scheduler& scheduler = plant_.scheduler;
  scheduler.point();
  check_alive(transaction);
  if (scheduler.dice().per_mille(plant_.rules.ghost_per_mille)) {
    scheduler.note("{}: COMMIT under way when the connection breaks", name_);
    plant_.lingering.ghost(transaction, scheduler.dice().per_mille(700));
    throw InDoubt("the connection broke after COMMIT was sent");
  }
  if (scheduler.dice().per_mille(plant_.rules.lost_answer_per_mille)) {
    const bool done = scheduler.dice().per_mille(600);
    scheduler.note("{}: COMMIT {}, the answer is lost", name_, done ? "done" : "not done");
    scheduler.coverage().count(done ? Event::kInDoubtCommitted : Event::kInDoubtLost);
    done ? plant_.database.commit(transaction) : plant_.database.rollback(transaction);
    throw InDoubt("the connection broke after COMMIT was sent");
  }
  plant_.database.commit(transaction);
}

void SimLine::abandon(const SimDatabase::Handle& transaction) noexcept {
  if (!transaction->alive || transaction->lingers) return;
  if (plant_.scheduler.dice().one_in(3)) {
    plant_.lingering.orphan(transaction);
  } else {
    plant_.database.rollback(transaction);
  }
}

void SimLine::met(std::string_view what) {
  static const std::map<std::string_view, Event> kEvents = {
      {"growth", Event::kGrowth},
      {"stale metadata", Event::kStaleMetadataOpen},
      {"topology moved", Event::kTopologyMoved},
      {"acquired", Event::kAcquired},
      {"periods opened", Event::kPeriodsOpened},
      {"covered", Event::kSegmentCovered},
      {"foreign segment", Event::kForeignSegmentLoaded},
      {"rolled up", Event::kRolledUp},
      {"days dropped", Event::kDaysDropped}};
  plant_.scheduler.coverage().count(kEvents.at(what));
  plant_.scheduler.note("{}: {}", name_, what);
}

// The whole commit is on its way in one flush when the connection breaks.
void ProcessStore::send_and_lose(const aggregator::BatchPlan& plan) {
  plant_.scheduler.note("{}: a commit is sent whole, the connection breaks", line_->name());
  plant_.scheduler.coverage().count(Event::kGhostStarted);
  const auto copy = std::make_shared<const aggregator::BatchPlan>(plan);
  Plant& plant = plant_;
  plant.scheduler.spawn(std::make_shared<Process>(), [copy, &plant] {
    ServerLine line(plant);
    const auto transaction = plant.database.begin(plant.scheduler.now_us(), "pipelined");
    try {
      execute(copy, transaction, plant.database, line);
      plant.database.commit(transaction);
      plant.scheduler.coverage().count(Event::kGhostCommitted);
      return;
    } catch (const std::exception&) {
      plant.scheduler.coverage().count(Event::kGhostRefused);
    }
    plant.database.rollback(transaction);
  });
  throw Unavailable("the connection broke");
}

CommitOutcome ProcessStore::commit(const aggregator::BatchPlan& plan) {
  Scheduler& scheduler = plant_.scheduler;
  if (plant_.database.up && scheduler.dice().per_mille(plant_.rules.pipelined_per_mille))
    send_and_lose(plan);
  const CommitOutcome outcome = store_.commit(plan);
  if (outcome == CommitOutcome::kFenced) scheduler.coverage().count(Event::kFenced);
  if (outcome == CommitOutcome::kCatalogueMoved) scheduler.coverage().count(Event::kCatalogueMoved);
  if (outcome == CommitOutcome::kFenced) scheduler.note("{}: fenced", line_->name());
  if (outcome == CommitOutcome::kCommitted) roll_up_now_and_then(plan);
  return outcome;
}

void ProcessStore::roll_up_now_and_then(const aggregator::BatchPlan& plan) {
  if (!roller_ || !plant_.scheduler.dice().per_mille(roll_up_per_mille_)) return;
  try {
    for (const auto& [id, advance] : plan.partitions)
      roller_->roll_up({id, advance.epoch, advance.generation});
  } catch (const std::exception& failure) {
    plant_.scheduler.note("roll-up failed: {}", failure.what());
  }
}

Resolution ProcessStore::resolve(const aggregator::BatchPlan& plan) {
  const Resolution resolution = store_.resolve(plan);
  const Event event = resolution == Resolution::kCommitted      ? Event::kResolvedCommitted
                      : resolution == Resolution::kNotCommitted ? Event::kResolvedNotCommitted
                                                                : Event::kResolvedFenced;
  plant_.scheduler.coverage().count(event);
  plant_.scheduler.note("{}: resolved: {}", line_->name(), to_string(event));
  return resolution;
}

}  // namespace tally::simulation
