// What executes plans, whatever it runs on (a thread; a fiber of the simulator): it executes each
// until the outcome is certain, and keeps the stored memory small.
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

namespace tally::aggregator {

// A plan to execute, and what became of it.
struct CommitTask {
  std::unique_ptr<BatchPlan> plan;
  Probe* probe = nullptr;        // is told of it
  std::uint64_t connection = 0;  // CommitDuty::connection() when the plan's session began

  std::optional<PlanFate> fate = std::nullopt;  // nullopt: to be attempted (again)
  bool in_doubt = false;                        // it may be committed
  bool connection_broke = false;                // while it was attempted
  std::optional<Probe::Clock::time_point> first_attempt = std::nullopt;
};

// Plans of several sessions go in one transaction. That is a try: whatever comes of it but success,
// each plan is then executed for itself, as if they had never been joined; so what is wrong with
// one of them harms no other.
//
// A commit of unknown outcome is resolved under lock before anything else (promise P3). A plan is
// never executed over a later connection than its session began with: the database may have gone
// back in time meanwhile (restored from a backup), and what the plan was folded upon may be gone.
// Threads: one, but for connection().
class CommitDuty {
 public:
  explicit CommitDuty(std::unique_ptr<TotalsStore> store);

  // Tries once. Tasks without a fate afterwards are to be given again, after a while. In the order
  // of a partition's plans, if there are several.
  void attempt(std::span<CommitTask* const> tasks);
  // After a committed plan: rolls up the partitions that it made due, and now and then drops days
  // that have expired. Failures are logged and made good another time.
  void keep_small(const BatchPlan& plan);

  // How often the connection broke. Any thread.
  [[nodiscard]] std::uint64_t connection() const { return breaks_; }

 private:
  struct Stored {
    core::Epoch epoch;
    std::int64_t segments = 0;  // when it was acquired, or since the last roll-up, none then
  };
  enum class Database : std::uint8_t { kThere, kAway };

  [[nodiscard]] Database attempt_together(std::span<CommitTask* const> tasks);
  [[nodiscard]] Database attempt_alone(CommitTask& task);
  [[nodiscard]] PlanFate execute(CommitTask& task);
  [[nodiscard]] bool outdated(const CommitTask& task) const;
  [[nodiscard]] Database failed(const std::exception& failure, std::span<CommitTask* const> tasks);
  void connection_broke();

  std::unique_ptr<TotalsStore> store_;
  bool connected_ = false;
  std::atomic<std::uint64_t> breaks_ = 0;
  std::map<core::PartitionId, Stored> stored_;
  LogDay newest_day_ = 0;
};

}  // namespace tally::aggregator
