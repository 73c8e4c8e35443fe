#include "tests/simulation/sim_committer.h"

#include "core/check.h"

#include <limits>
#include <utility>

namespace tally::simulation {

SimCommitter::SimCommitter(std::unique_ptr<aggregator::TotalsStore> store, aggregator::Probe& probe,
                           Plant& plant, const std::string& name, std::int64_t roll_up_per_mille)
    : plant_(plant),
      roller_(plant, name + ".roll-up"),
      roll_up_per_mille_(roll_up_per_mille),
      duty_(std::move(store), probe, [this](std::chrono::milliseconds time) {
        plant_.scheduler.wait_until(plant_.scheduler.now_us() + time.count() * 1000,
                                    [this] { return stopping_; });
        return !stopping_;
      }) {
  Scheduler& scheduler = plant_.scheduler;
  TALLY_CHECK(scheduler.in_fiber());
  // Dies with the process that made it; until then the destructor waits for it, as for a thread.
  scheduler.spawn(scheduler.current_process_shared(), [this] {
    struct Ended {
      bool& flag;
      ~Ended() { flag = true; }
    } const ended{ended_};
    run();
  });
}

SimCommitter::~SimCommitter() {
  stopping_ = true;
  plant_.scheduler.wait_quietly([this] { return ended_; });
}

void SimCommitter::submit(std::unique_ptr<aggregator::BatchPlan> plan) {
  TALLY_CHECK(!busy_ && !report_ && plan && !plan->empty());
  plan_ = std::move(plan);
  busy_ = true;
}

std::optional<aggregator::CommitReport> SimCommitter::take_report(std::chrono::milliseconds time) {
  if (!busy_ && !report_) return std::nullopt;
  if (!report_) {
    Scheduler& scheduler = plant_.scheduler;
    scheduler.wait_until(scheduler.now_us() + time.count() * 1000,
                         [this] { return report_.has_value(); });
  }
  return std::exchange(report_, std::nullopt);
}

void SimCommitter::run() {
  Scheduler& scheduler = plant_.scheduler;
  for (;;) {
    scheduler.wait_until(std::numeric_limits<std::int64_t>::max(),
                         [this] { return stopping_ || plan_ != nullptr; });
    if (stopping_) return;
    auto plan = std::move(plan_);
    const std::optional<aggregator::PlanFate> fate = duty_.settle(*plan);
    if (!fate) return;
    if (*fate == aggregator::PlanFate::kCommitted) {
      duty_.keep_small(*plan);
      roll_up_now_and_then(*plan);
    }
    report_ = aggregator::CommitReport{*fate, std::move(plan)};
    busy_ = false;
  }
}

void SimCommitter::roll_up_now_and_then(const aggregator::BatchPlan& plan) {
  if (!plant_.scheduler.dice().per_mille(roll_up_per_mille_)) return;
  try {
    for (const auto& [id, advance] : plan.partitions)
      roller_.roll_up({id, advance.epoch, advance.generation});
  } catch (const std::exception& failure) {
    plant_.scheduler.note("roll-up failed: {}", failure.what());
  }
}

}  // namespace tally::simulation
