#include "aggregator/commit_duty.h"

#include "aggregator/join_plans.h"
#include "core/check.h"
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

bool is_away(const std::exception& failure) {
  return dynamic_cast<const runtime::postgres::Unavailable*>(&failure) != nullptr;
}

// By so many segments its roll-ups come before another's: the partitions of a process are in the
// same commits, and one that waited for the roll-ups of all would be late. Neighbours lie far
// apart: the golden ratio of a round.
std::int64_t ahead_of(core::PartitionId partition) {
  constexpr std::int64_t kStep = 39;
  static_assert(core::kSegmentsPerRollUp == 64, "39 is the odd number next to its golden ratio");
  return partition.value() * kStep % core::kSegmentsPerRollUp;
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

// Where none could be made, none broke: who has read the database meanwhile may be right.
void CommitDuty::count_break(const std::exception& failure) {
  const bool was_there = dynamic_cast<const runtime::postgres::NotConnected*>(&failure) == nullptr;
  if (is_away(failure) && was_there) ++breaks_;
}

void CommitDuty::committed(CommitTask& task) {
  const auto took = Probe::Clock::now() - *task.first_attempt;
  task.probe->committed(*task.plan, took);
  grown(*task.plan);
  runtime::log::write(
      runtime::log::Level::kDebug, "committed",
      {{"records", task.plan->records},
       {"windows", task.plan->totals.windows()},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

// Whatever broke, and wherever: the outcome is unknown until it was read under lock.
void CommitDuty::failed(const std::exception& failure, std::span<CommitTask* const> tasks) {
  count_break(failure);
  std::int64_t records = 0;
  for (CommitTask* task : tasks) {
    task->in_doubt = true;
    task->failure = failure.what();
    task->connection_broke = task->connection_broke || is_away(failure);
    task->probe->commit_failed();
    records += task->plan->records;
  }
  runtime::log::warn("commit_failed", {{"reason", failure.what()}, {"records", records}});
}

void CommitDuty::attempt(std::span<CommitTask* const> tasks) {
  std::vector<CommitTask*> sound;
  for (CommitTask* task : tasks) {
    if (!task->first_attempt) task->first_attempt = Probe::Clock::now();
    if (!task->in_doubt && outdated(*task)) {
      task->fate = PlanFate::kConnectionBroke;
    } else {
      sound.push_back(task);
    }
  }
  if (sound.empty()) return;
  try {
    if (sound.front()->in_doubt) {
      TALLY_CHECK(tasks.size() == 1, "{} plans beside one in doubt", tasks.size() - 1);
      resolve(*sound.front());
    } else {
      commit(sound);
    }
  } catch (const std::exception& failure) {
    failed(failure, sound);
  }
}

void CommitDuty::commit(std::span<CommitTask* const> tasks) {
  const bool alone = tasks.size() == 1;
  const CommitOutcome outcome =
      alone ? store_->commit(*tasks.front()->plan) : store_->commit(joined(plans_of(tasks)));
  for (CommitTask* task : tasks) {
    if (outcome == CommitOutcome::kCommitted) {
      committed(*task);
      task->fate = PlanFate::kCommitted;
    } else if (alone) {
      task->fate =
          outcome == CommitOutcome::kFenced ? PlanFate::kFenced : PlanFate::kCatalogueMoved;
    }
  }
}

void CommitDuty::resolve(CommitTask& task) {
  const Resolution resolution = store_->resolve(*task.plan);
  runtime::log::info("commit_resolved", {{"outcome", to_string(resolution)}});
  task.in_doubt = false;
  if (resolution == Resolution::kCommitted) committed(task);
  if (resolution == Resolution::kFenced) {
    task.fate = PlanFate::kFenced;
  } else if (outdated(task)) {
    task.fate = PlanFate::kConnectionBroke;
  } else if (resolution == Resolution::kCommitted) {
    task.fate = PlanFate::kCommitted;
  }
}

void CommitDuty::grown(const BatchPlan& plan) {
  for (const auto& [where, segment] : plan.segments) {
    const PartitionAdvance& guard = plan.partitions.at(where.first);
    const Stored acquired{guard.epoch, guard.stored_segments + ahead_of(where.first)};
    Stored& stored = stored_.try_emplace(where.first, acquired).first->second;
    if (stored.epoch != guard.epoch) stored = acquired;
    newest_day_ = std::max(newest_day_, where.second);
    if (++stored.segments < core::kSegmentsPerRollUp) continue;
    stored.segments = 0;
    due_roll_ups_[where.first] = {where.first, guard.epoch, guard.generation};
  }
  drop_is_due_ = newest_day_ > dropped_day_;
}

void CommitDuty::keep_small() {
  try {
    if (!due_roll_ups_.empty()) {
      store_->roll_up(due_roll_ups_.extract(due_roll_ups_.begin()).mapped());
    } else if (std::exchange(drop_is_due_, false)) {
      store_->drop_expired();
      dropped_day_ = newest_day_;
    }
  } catch (const std::exception& failure) {
    count_break(failure);
    runtime::log::warn("keeping_small_failed", {{"reason", failure.what()}});
  }
}

}  // namespace tally::aggregator
