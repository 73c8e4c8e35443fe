// The store and the delivery log of a simulated exporter: connections to the books, with what
// breaks on them. Every call gives way, may throw, and may be where the process is killed.
#pragma once

#include "exporter/export_store.h"
#include "exporter/sender.h"
#include "tests/simulation/exporter/books.h"
#include "tests/simulation/exporter/events.h"
#include "tests/simulation/scheduler.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace tally::simulation::exporting {

// Chances in 1000 while faults are on.
struct StoreRules {
  std::int64_t broken = 0;       // per statement: the connection breaks before it
  std::int64_t answer_lost = 0;  // per COMMIT: done, and not told
  std::int64_t killed = 0;       // per call: the process
};

struct Plant {
  Scheduler& scheduler;
  Coverage& coverage;
  Books& books;
  StoreRules rules;
  bool store_away = false;
  std::int64_t sessions = 0;  // the last one's number

  void statement();  // throws, gives way, or is where it ends
  // Runs `change` as a transaction.
  template <class Change>
  void commit(const Change& change) {
    statement();
    change();
    if (scheduler.dice().per_mille(rules.answer_lost)) {
      coverage.count(Event::kCommitAnswerLost);
      throw_broken();
    }
    may_die();
    scheduler.point();
  }
  void may_die();
  [[noreturn]] static void throw_broken();
};

class SimDeliveryLog final : public exporter::DeliveryLog {
 public:
  SimDeliveryLog(Plant& plant, std::int64_t session) : plant_(plant), session_(session) {}
  void commit(const exporter::Report& report, const std::vector<exporter::OutboxRow*>& rows,
              core::Timestamp now) override;

 private:
  Plant& plant_;
  std::int64_t session_;
};

class SimExportStore final : public exporter::ExportStore {
 public:
  explicit SimExportStore(Plant& plant) : plant_(plant), session_(++plant.sessions) {}
  ~SimExportStore() override;
  bool try_hold() override;
  std::unique_ptr<exporter::PlanTransaction> begin_plan(exporter::PlanMode mode) override;
  std::vector<exporter::OutboxRow> open_rows() override;
  std::vector<exporter::UncertainRow> uncertain_rows() override;
  void settle(const exporter::Settlement& settlement) override;
  exporter::OutboxStanding standing() override;
  [[nodiscard]] std::int64_t session() const { return session_; }

 private:
  Plant& plant_;
  std::int64_t session_;
  bool held_ = false;
};

}  // namespace tally::simulation::exporting
