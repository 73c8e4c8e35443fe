// The commit group of a simulated process: the real one, on a fiber instead of a thread.
#pragma once

#include "aggregator/commit_group.h"
#include "tests/simulation/scheduler.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace tally::simulation {

// One fiber runs at a time, and gives way in wait() alone: nothing need be locked.
class SimMonitor final : public aggregator::Monitor {
 public:
  explicit SimMonitor(Scheduler& scheduler) : scheduler_(scheduler) {}
  [[nodiscard]] Clock::time_point now() const override {
    return Clock::time_point(std::chrono::microseconds(scheduler_.now_us()));
  }
  void lock() override {}
  void unlock() override {}
  bool wait(std::optional<std::chrono::milliseconds> at_most,
            const std::function<bool()>& holds) override;
  void wake_all() override {}

 private:
  Scheduler& scheduler_;
};

struct SimCommitGroup {
  SimCommitGroup(std::unique_ptr<aggregator::TotalsStore> store, Scheduler& scheduler,
                 std::chrono::milliseconds boarding_time)
      : monitor(scheduler),
        group(std::move(store), monitor, {boarding_time, scheduler.dice().next()}) {}

  SimMonitor monitor;
  aggregator::CommitGroup group;
};

}  // namespace tally::simulation
