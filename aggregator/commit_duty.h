// What a committer does, whatever it runs on (a thread; a fiber of the simulator): it executes a
// plan until the outcome is certain, and keeps the stored memory small.
#pragma once

#include "aggregator/probe.h"
#include "aggregator/totals_store.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace tally::aggregator {

enum class PlanFate : std::uint8_t {
  kCommitted,
  kFenced,
  kCatalogueMoved,
  kConnectionBroke,  // committed or not: whoever comes next reads what the database holds
};

// While the database is away it retries with backoff; a commit of unknown outcome is resolved under
// lock before anything else (promise P3). A plan is never executed again over another connection:
// the database may have gone back in time meanwhile (restored from a backup), and what the plan
// was folded upon may be gone. Threads: one.
class CommitDuty {
 public:
  // Waits for the time; false: told to stop.
  using Pause = std::function<bool(std::chrono::milliseconds)>;
  CommitDuty(std::unique_ptr<TotalsStore> store, Probe& probe, Pause pause);

  // nullopt: told to stop, the outcome is unknown.
  std::optional<PlanFate> settle(const BatchPlan& plan);
  // After a committed plan: rolls up the partitions that it made due, and now and then drops days
  // that have expired. Failures are logged and made good another time; but when the connection
  // breaks here, no plan is executed any more.
  void keep_small(const BatchPlan& plan);

 private:
  void committed(const BatchPlan& plan, Probe::Clock::time_point started);

  std::unique_ptr<TotalsStore> store_;
  Probe& probe_;
  Pause pause_;
  bool connection_broke_ = false;
  // Stored when it was acquired, or at the last roll-up none, and written since.
  std::map<core::PartitionId, std::int64_t> segments_;
  LogDay newest_day_ = 0;
};

}  // namespace tally::aggregator
