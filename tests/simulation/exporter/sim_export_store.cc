#include "tests/simulation/exporter/sim_export_store.h"

#include <limits>
#include <stdexcept>

namespace tally::simulation::exporting {
namespace {

core::IdentityHasher::Key database_key() {
  core::IdentityHasher::Key key{};
  key[0] = std::byte{7};
  return key;
}

class SimPlanTransaction final : public exporter::PlanTransaction {
 public:
  SimPlanTransaction(Plant& plant, std::int64_t session) : plant_(plant), session_(session) {
    plant_.statement();
    Books& books = plant_.books;
    plant_.scheduler.wait_until(std::numeric_limits<std::int64_t>::max(),
                                [&books] { return books.planning_lock == 0; });
    books.planning_lock = session_;
  }
  ~SimPlanTransaction() override {
    if (plant_.books.planning_lock == session_) plant_.books.planning_lock = 0;
  }
  core::IdentityHasher hasher() override {
    plant_.statement();
    return core::IdentityHasher(database_key());
  }
  exporter::OpenSeries open_series() override {
    plant_.statement();
    return plant_.books.open_series();
  }
  exporter::Totals totals(core::Timestamp now) override {
    plant_.statement();
    return plant_.books.totals(now);
  }
  exporter::UsedMinutes used_minutes(const exporter::Totals& totals,
                                     const exporter::DuePlan& plan) override {
    plant_.statement();
    return plant_.books.used_minutes(totals, plan);
  }
  void write(const exporter::Totals& totals, const std::vector<exporter::Obstacle>& held,
             const std::vector<exporter::NewRow>& rows, core::Timestamp now) override {
    (void)totals;  // the books know the series by the same numbers
    (void)now;
    plant_.statement();
    held_ = held;
    rows_ = rows;
  }
  void commit() override {
    plant_.commit([this] { plant_.books.commit_plan(held_, rows_); });
  }

 private:
  Plant& plant_;
  std::int64_t session_;
  std::vector<exporter::Obstacle> held_;
  std::vector<exporter::NewRow> rows_;
};

}  // namespace

void Plant::throw_broken() { throw std::runtime_error("the connection to the database broke"); }

void Plant::may_die() {
  if (!scheduler.dice().per_mille(rules.killed)) return;
  coverage.count(Event::kKilled);
  scheduler.note("killed");
  scheduler.current_process().crashed = true;
  throw Crashed();
}

void Plant::statement() {
  may_die();
  scheduler.point();
  if (store_away) throw_broken();
  if (!scheduler.dice().per_mille(rules.broken)) return;
  coverage.count(Event::kStoreBroke);
  throw_broken();
}

void SimDeliveryLog::commit(const exporter::Report& report,
                            const std::vector<exporter::OutboxRow*>& rows, core::Timestamp now) {
  plant_.commit([&] {
    if (plant_.books.exporter_lock != session_ && plant_.books.exporter_lock != 0)
      plant_.coverage.count(Event::kTwoAtOnce);
    plant_.books.commit_report(report, rows, now);
  });
}

SimExportStore::~SimExportStore() {
  if (plant_.books.exporter_lock == session_) plant_.books.exporter_lock = 0;
}

bool SimExportStore::try_hold() {
  plant_.statement();
  std::int64_t& holder = plant_.books.exporter_lock;
  if (held_ && holder != session_) Plant::throw_broken();  // the server ended the session
  if (holder == 0) holder = session_;
  held_ = holder == session_;
  return held_;
}

std::unique_ptr<exporter::PlanTransaction> SimExportStore::begin_plan(exporter::PlanMode mode) {
  (void)mode;
  return std::make_unique<SimPlanTransaction>(plant_, session_);
}

std::vector<exporter::OutboxRow> SimExportStore::open_rows() {
  plant_.statement();
  return plant_.books.open_rows();
}

std::vector<exporter::UncertainRow> SimExportStore::uncertain_rows() {
  plant_.statement();
  return plant_.books.uncertain_rows();
}

void SimExportStore::settle(const exporter::Settlement& settlement) {
  plant_.commit([&] { plant_.books.commit_settlement(settlement); });
}

exporter::OutboxStanding SimExportStore::standing() {
  plant_.statement();
  return plant_.books.standing();
}

}  // namespace tally::simulation::exporting
