// What executes plans, whatever it runs on (a thread; a fiber of the simulator): a transaction at a
// time, until the outcome of each plan is certain; and what keeps the stored memory small.
#pragma once

#include "aggregator/committer.h"
#include "aggregator/probe.h"
#include "aggregator/totals_store.h"

#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace tally::aggregator {

// A plan to execute, and what became of it.
struct CommitTask {
  std::unique_ptr<BatchPlan> plan;
  Probe* probe = nullptr;        // is told of it
  std::uint64_t connection = 0;  // CommitDuty::connection() when the plan's session began

  std::optional<PlanFate> fate = std::nullopt;  // nullopt: to be attempted (again)
  bool in_doubt = false;                        // it may be committed
  std::string failure = {};                     // why it is in doubt
  bool connection_broke = false;                // while it was attempted
  std::optional<Probe::Clock::time_point> first_attempt = std::nullopt;
};

// Plans of several sessions go in one transaction. That is a try: whatever comes of it but success,
// each plan is then to be given alone, as if they had never been joined; so what is wrong with one
// of them harms no other.
//
// A commit of unknown outcome is resolved under lock before anything else (promise P3). A plan is
// never executed over a later connection than its session began with: the database may have gone
// back in time meanwhile (restored from a backup), and what the plan was folded upon may be gone.
// Threads: one, but for connection().
class CommitDuty {
 public:
  explicit CommitDuty(std::unique_ptr<TotalsStore> store);

  // One transaction: resolves what is in doubt, given alone; or commits those that it may, which
  // fit together. What has no fate afterwards is to be given again alone: when it is in doubt,
  // after a while.
  void attempt(std::span<CommitTask* const> tasks);

  // What committed plans made due, one transaction a call: rolls up partitions, and now and then
  // drops days that have expired. Failures are logged and made good another time.
  void keep_small();
  [[nodiscard]] bool keeping_small_is_due() const { return !due_roll_ups_.empty() || drop_is_due_; }

  // How often the connection broke. Any thread.
  [[nodiscard]] std::uint64_t connection() const { return breaks_; }

 private:
  struct Stored {
    core::Epoch epoch;
    std::int64_t segments = 0;  // when it was acquired, or since the last roll-up, none then
  };
  void commit(std::span<CommitTask* const> tasks);
  void resolve(CommitTask& task);
  void committed(CommitTask& task);
  void failed(const std::exception& failure, std::span<CommitTask* const> tasks);
  [[nodiscard]] bool outdated(const CommitTask& task) const;
  void grown(const BatchPlan& plan);
  void count_break(const std::exception& failure);

  std::unique_ptr<TotalsStore> store_;
  std::atomic<std::uint64_t> breaks_ = 0;
  std::map<core::PartitionId, Stored> stored_;
  std::map<core::PartitionId, PartitionClaim> due_roll_ups_;
  LogDay newest_day_ = 0;   // of the committed plans
  LogDay dropped_day_ = 0;  // the newest one when days were dropped last
  bool drop_is_due_ = false;
};

}  // namespace tally::aggregator
