#include "aggregator/commit_duty.h"

#include "aggregator/join_plans.h"
#include "core/limits.h"
#include "runtime/log/log.h"
#include "runtime/postgres/connection.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

std::string_view to_string(Resolution resolution) {
  switch (resolution) {
    case Resolution::kCommitted:
      return "committed";
    case Resolution::kNotCommitted:
      return "not committed";
    case Resolution::kFenced:
      return "fenced";
  }
  return "unknown";
}

void committed(CommitTask& task) {
  const auto took = Probe::Clock::now() - *task.first_attempt;
  task.probe->problem("postgres", "");
  task.probe->committed(*task.plan, took);
  runtime::log::write(
      runtime::log::Level::kDebug, "committed",
      {{"records", task.plan->records},
       {"windows", task.plan->totals.windows()},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

std::vector<const BatchPlan*> plans_of(std::span<CommitTask* const> tasks) {
  std::vector<const BatchPlan*> plans;
  plans.reserve(tasks.size());
  for (const CommitTask* task : tasks) plans.push_back(task->plan.get());
  return plans;
}

}  // namespace

CommitDuty::CommitDuty(std::unique_ptr<TotalsStore> store) : store_(std::move(store)) {}

bool CommitDuty::outdated(const CommitTask& task) const {
  return task.connection_broke || task.connection != breaks_;
}

void CommitDuty::connection_broke() {
  if (std::exchange(connected_, false)) ++breaks_;
}

// Whatever broke, and wherever: the outcome is unknown until it was read under lock.
CommitDuty::Database CommitDuty::failed(const std::exception& failure,
                                        std::span<CommitTask* const> tasks) {
  const bool away = dynamic_cast<const runtime::postgres::Unavailable*>(&failure) != nullptr;
  if (away) connection_broke();
  std::int64_t records = 0;
  for (CommitTask* task : tasks) {
    task->in_doubt = true;
    task->connection_broke = task->connection_broke || away;
    task->probe->commit_failed();
    task->probe->problem("postgres", failure.what());
    records += task->plan->records;
  }
  runtime::log::warn("commit_failed", {{"reason", failure.what()}, {"records", records}});
  return away ? Database::kAway : Database::kThere;
}

void CommitDuty::attempt(std::span<CommitTask* const> tasks) {
  std::vector<CommitTask*> doubtful;
  std::vector<CommitTask*> fresh;
  for (CommitTask* task : tasks) {
    if (!task->first_attempt) task->first_attempt = Probe::Clock::now();
    (task->in_doubt ? doubtful : fresh).push_back(task);
  }
  for (CommitTask* task : doubtful) {
    if (attempt_alone(*task) == Database::kAway) return;
  }
  std::span<CommitTask* const> left = fresh;
  while (!left.empty()) {
    const auto together = left.first(fit_together(plans_of(left)));
    left = left.subspan(together.size());
    if (attempt_together(together) == Database::kAway) return;
  }
}

CommitDuty::Database CommitDuty::attempt_together(std::span<CommitTask* const> tasks) {
  const bool sound =
      std::ranges::none_of(tasks, [this](const CommitTask* task) { return outdated(*task); });
  if (tasks.size() > 1 && sound) {
    try {
      const CommitOutcome outcome = store_->commit(joined(plans_of(tasks)));
      connected_ = true;
      if (outcome == CommitOutcome::kCommitted) {
        for (CommitTask* task : tasks) {
          committed(*task);
          task->fate = PlanFate::kCommitted;
        }
        return Database::kThere;
      }
    } catch (const std::exception& failure) {
      if (failed(failure, tasks) == Database::kAway) return Database::kAway;
    }
  }
  for (CommitTask* task : tasks) {
    if (attempt_alone(*task) == Database::kAway) return Database::kAway;
  }
  return Database::kThere;
}

CommitDuty::Database CommitDuty::attempt_alone(CommitTask& task) {
  try {
    task.fate = execute(task);
    return Database::kThere;
  } catch (const std::exception& failure) {
    CommitTask* const alone[] = {&task};
    return failed(failure, alone);
  }
}

// Throws what the store throws: the task is in doubt then.
PlanFate CommitDuty::execute(CommitTask& task) {
  if (!task.in_doubt && outdated(task)) return PlanFate::kConnectionBroke;
  if (task.in_doubt) {
    const Resolution resolution = store_->resolve(*task.plan);
    connected_ = true;
    runtime::log::info("commit_resolved", {{"outcome", to_string(resolution)}});
    task.probe->problem("postgres", "");
    if (resolution == Resolution::kFenced) return PlanFate::kFenced;
    if (resolution == Resolution::kCommitted) committed(task);
    if (outdated(task)) return PlanFate::kConnectionBroke;
    if (resolution == Resolution::kCommitted) return PlanFate::kCommitted;
    task.in_doubt = false;
  }
  const CommitOutcome outcome = store_->commit(*task.plan);
  connected_ = true;
  task.probe->problem("postgres", "");
  if (outcome == CommitOutcome::kFenced) return PlanFate::kFenced;
  if (outcome == CommitOutcome::kCatalogueMoved) return PlanFate::kCatalogueMoved;
  committed(task);
  return PlanFate::kCommitted;
}

void CommitDuty::keep_small(const BatchPlan& plan) {
  try {
    for (const auto& [where, segment] : plan.segments) {
      const PartitionAdvance& guard = plan.partitions.at(where.first);
      const Stored acquired{guard.epoch, guard.stored_segments};
      Stored& stored = stored_.try_emplace(where.first, acquired).first->second;
      if (stored.epoch != guard.epoch) stored = acquired;
      if (++stored.segments < core::kSegmentsPerRollUp) continue;
      stored.segments = 0;
      store_->roll_up({where.first, guard.epoch, guard.generation});
    }
    LogDay newest = newest_day_;
    for (const auto& [where, segment] : plan.segments) newest = std::max(newest, where.second);
    if (newest > newest_day_) store_->drop_expired();
    newest_day_ = newest;
  } catch (const runtime::postgres::Unavailable& failure) {
    connection_broke();
    runtime::log::warn("keeping_small_failed", {{"reason", failure.what()}});
  } catch (const std::exception& failure) {
    runtime::log::warn("keeping_small_failed", {{"reason", failure.what()}});
  }
}

}  // namespace tally::aggregator
