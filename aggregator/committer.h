// Executes one plan at a time, until its outcome is certain, so that folding the next batch
// overlaps the commit of this one.
#pragma once

#include "aggregator/commit_duty.h"
#include "aggregator/totals_store.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace tally::aggregator {

struct CommitReport {
  PlanFate fate = PlanFate::kCommitted;
  std::unique_ptr<BatchPlan> plan;
};

// Threads: all methods from the one session's thread. Destroying it gives up on a plan under way:
// its guard keeps a later execution from doing harm.
class Committer {
 public:
  virtual ~Committer() = default;

  [[nodiscard]] virtual bool busy() const = 0;
  virtual void submit(std::unique_ptr<BatchPlan> plan) = 0;  // not when busy or a report waits
  // The report of the submitted plan, waiting for it at most `time`.
  virtual std::optional<CommitReport> take_report(std::chrono::milliseconds time) = 0;
};

using CommitterFactory =
    std::function<std::unique_ptr<Committer>(std::unique_ptr<TotalsStore> store)>;

// On a thread of its own.
class ThreadCommitter final : public Committer {
 public:
  ThreadCommitter(std::unique_ptr<TotalsStore> store, Probe& probe);
  ~ThreadCommitter() override;
  ThreadCommitter(const ThreadCommitter&) = delete;
  ThreadCommitter& operator=(const ThreadCommitter&) = delete;

  [[nodiscard]] bool busy() const override;
  void submit(std::unique_ptr<BatchPlan> plan) override;
  std::optional<CommitReport> take_report(std::chrono::milliseconds time) override;

 private:
  void run();
  bool pause(std::chrono::milliseconds time);  // false: told to stop

  CommitDuty duty_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<BatchPlan> plan_;     // guarded by mutex_
  std::optional<CommitReport> report_;  // guarded by mutex_
  bool stopping_ = false;               // guarded by mutex_
  bool busy_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace tally::aggregator
