// The committer as a fiber: the same duty as the real one's thread.
#pragma once

#include "aggregator/commit_duty.h"
#include "aggregator/committer.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_line.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace tally::simulation {

class SimCommitter final : public aggregator::Committer {
 public:
  SimCommitter(std::unique_ptr<aggregator::TotalsStore> store, aggregator::Probe& probe,
               Plant& plant, const std::string& name, std::int64_t roll_up_per_mille);
  ~SimCommitter() override;

  [[nodiscard]] bool busy() const override { return busy_ || report_.has_value(); }
  void submit(std::unique_ptr<aggregator::BatchPlan> plan) override;
  std::optional<aggregator::CommitReport> take_report(std::chrono::milliseconds time) override;

 private:
  void run();
  void roll_up_now_and_then(const aggregator::BatchPlan& plan);

  Plant& plant_;
  ProcessStore roller_;
  std::int64_t roll_up_per_mille_;
  aggregator::CommitDuty duty_;
  std::unique_ptr<aggregator::BatchPlan> plan_;
  std::optional<aggregator::CommitReport> report_;
  bool busy_ = false;
  bool stopping_ = false;
  bool ended_ = false;
};

}  // namespace tally::simulation
