// One schedule of the exporter, from its seed to its verdict.
#pragma once

#include "tests/simulation/exporter/books.h"
#include "tests/simulation/exporter/events.h"
#include "tests/simulation/exporter/export_auditor.h"
#include "tests/simulation/exporter/sim_export_store.h"
#include "tests/simulation/exporter/sim_stripe.h"
#include "tests/simulation/exporter/usage.h"
#include "tests/simulation/scheduler.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tally::simulation::exporting {

struct ExportScenario {
  std::string name;
  std::size_t instances = 1;
  std::size_t in_flight = 1;
  std::int64_t interval_seconds = 300;
  std::int64_t length_seconds = 0;  // until everything is healed
  std::size_t uses = 0;
  std::int64_t fault_gap_seconds = 0;  // between two big faults, on average; 0: none
  std::int64_t longest_outage_seconds = 0;
  std::int64_t freeze_weight = 0;
  StoreRules store;
  StripeRules stripe;
};
[[nodiscard]] ExportScenario export_scenario_of(std::uint64_t seed);

// A process of the exporter: cycles until it is killed.
class ExportInstance {
 public:
  ExportInstance(Plant& plant, SimStripe& stripe, const ExportScenario& scenario)
      : plant_(plant), stripe_(stripe), scenario_(scenario) {}
  void start();
  [[nodiscard]] bool running() const { return process_ && !process_->crashed; }
  [[nodiscard]] bool busy() const { return running() && busy_; }  // in a cycle
  void freeze(std::int64_t until_us);
  void thaw();

 private:
  void run();
  exporter::SendCounts send_all(std::vector<exporter::OutboxRow> rows, std::int64_t session);

  Plant& plant_;
  SimStripe& stripe_;
  const ExportScenario& scenario_;
  std::shared_ptr<Process> process_;
  bool busy_ = false;
};

class ExportWorld {
 public:
  ExportWorld(std::uint64_t seed, bool tracing);
  ~ExportWorld();
  ExportWorld(const ExportWorld&) = delete;
  ExportWorld& operator=(const ExportWorld&) = delete;

  // The sentence of the promise that broke, or nothing. Once.
  std::string run();
  [[nodiscard]] std::uint64_t digest() const { return scheduler_.digest(); }
  [[nodiscard]] const Coverage& coverage() const { return coverage_; }

 private:
  void use();           // a fiber
  void break_things();  // a fiber
  void strike();
  void stripe_is_away();
  void revive();
  void heal();
  bool run_until(const std::function<bool()>& done, std::int64_t most_seconds);

  ExportScenario scenario_;
  Scheduler scheduler_;
  Coverage coverage_;
  Usage usage_;
  Books books_;
  SimStripe stripe_;
  Plant plant_;
  ExportAuditor auditor_;
  std::vector<std::unique_ptr<ExportInstance>> instances_;
  std::shared_ptr<Process> nature_ = std::make_shared<Process>();
  std::size_t used_ = 0;
  bool calm_ = false;
};

}  // namespace tally::simulation::exporting
