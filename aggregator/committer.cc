#include "aggregator/committer.h"

#include "core/check.h"

#include <utility>

namespace tally::aggregator {

ThreadCommitter::ThreadCommitter(std::unique_ptr<TotalsStore> store, Probe& probe)
    : duty_(std::move(store), probe,
            [this](std::chrono::milliseconds time) { return pause(time); }),
      thread_([this] { run(); }) {}

ThreadCommitter::~ThreadCommitter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool ThreadCommitter::busy() const {
  const std::lock_guard lock(mutex_);
  return busy_ || report_.has_value();
}

void ThreadCommitter::submit(std::unique_ptr<BatchPlan> plan) {
  {
    const std::lock_guard lock(mutex_);
    TALLY_CHECK(!busy_ && !report_ && plan && !plan->empty());
    plan_ = std::move(plan);
    busy_ = true;
  }
  changed_.notify_all();
}

std::optional<CommitReport> ThreadCommitter::take_report(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  if (!busy_ && !report_) return std::nullopt;
  changed_.wait_for(lock, time, [this] { return report_.has_value(); });
  return std::exchange(report_, std::nullopt);
}

bool ThreadCommitter::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stopping_; });
}

void ThreadCommitter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || plan_ != nullptr; });
    if (stopping_) return;
    auto plan = std::move(plan_);
    lock.unlock();
    const std::optional<PlanFate> fate = duty_.settle(*plan);
    if (fate == PlanFate::kCommitted) duty_.keep_small(*plan);
    lock.lock();
    if (!fate) return;
    report_ = CommitReport{*fate, std::move(plan)};
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace tally::aggregator
