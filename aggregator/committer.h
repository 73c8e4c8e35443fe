// Executes one plan at a time on a thread of its own, until its outcome is certain, so that folding
// the next batch overlaps the commit of this one.
#pragma once

#include "aggregator/probe.h"
#include "aggregator/totals_store.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace tally::aggregator {

enum class PlanFate : std::uint8_t { kCommitted, kFenced, kCatalogueMoved };

struct CommitReport {
  PlanFate fate = PlanFate::kCommitted;
  std::unique_ptr<BatchPlan> plan;
};

// Threads: all methods from the one session's thread. While the database is away it retries with
// backoff; a commit of unknown outcome is resolved under lock before anything else (promise P3).
class Committer {
 public:
  Committer(std::unique_ptr<TotalsStore> store, Probe& probe);
  ~Committer();  // gives up on a plan under way: its guard keeps a later execution from doing harm
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  [[nodiscard]] bool busy() const;
  void submit(std::unique_ptr<BatchPlan> plan);  // only when not busy and no report waits
  // The report of the submitted plan, waiting for it at most `time`.
  std::optional<CommitReport> take_report(std::chrono::milliseconds time);

 private:
  void run();
  std::optional<PlanFate> settle(const BatchPlan& plan);  // nullopt: told to stop
  bool pause(std::chrono::milliseconds time);             // false: told to stop

  std::unique_ptr<TotalsStore> store_;
  Probe& probe_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<BatchPlan> plan_;     // guarded by mutex_
  std::optional<CommitReport> report_;  // guarded by mutex_
  bool stopping_ = false;               // guarded by mutex_
  bool busy_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace tally::aggregator
