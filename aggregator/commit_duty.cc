#include "aggregator/commit_duty.h"

#include "core/limits.h"
#include "runtime/log/log.h"
#include "runtime/postgres/connection.h"
#include "runtime/retry/backoff.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace tally::aggregator {

namespace {

using namespace std::chrono_literals;

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

}  // namespace

CommitDuty::CommitDuty(std::unique_ptr<TotalsStore> store, Probe& probe, Pause pause)
    : store_(std::move(store)), probe_(probe), pause_(std::move(pause)) {}

void CommitDuty::committed(const BatchPlan& plan, Probe::Clock::time_point started) {
  const auto took = Probe::Clock::now() - started;
  probe_.committed(plan, took);
  runtime::log::write(
      runtime::log::Level::kDebug, "committed",
      {{"records", plan.records},
       {"windows", plan.totals.windows()},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

std::optional<PlanFate> CommitDuty::settle(const BatchPlan& plan) {
  const auto started = Probe::Clock::now();
  runtime::retry::Backoff backoff(100ms, 5s, static_cast<std::uint64_t>(plan.records));
  bool in_doubt = false;
  if (connection_broke_) return PlanFate::kConnectionBroke;
  for (;;) {
    try {
      if (in_doubt) {
        const Resolution resolution = store_->resolve(plan);
        runtime::log::info("commit_resolved", {{"outcome", to_string(resolution)}});
        probe_.problem("postgres", "");
        if (resolution == Resolution::kFenced) return PlanFate::kFenced;
        if (resolution == Resolution::kCommitted) committed(plan, started);
        if (connection_broke_) return PlanFate::kConnectionBroke;
        if (resolution == Resolution::kCommitted) return PlanFate::kCommitted;
        in_doubt = false;
      }
      const CommitOutcome outcome = store_->commit(plan);
      probe_.problem("postgres", "");
      if (outcome == CommitOutcome::kFenced) return PlanFate::kFenced;
      if (outcome == CommitOutcome::kCatalogueMoved) return PlanFate::kCatalogueMoved;
      committed(plan, started);
      return PlanFate::kCommitted;
    } catch (const std::exception& failure) {
      // Whatever broke, and wherever: the outcome is unknown until it was read under lock.
      in_doubt = true;
      if (dynamic_cast<const runtime::postgres::Unavailable*>(&failure) != nullptr)
        connection_broke_ = true;
      probe_.commit_failed();
      probe_.problem("postgres", failure.what());
      runtime::log::warn("commit_failed", {{"reason", failure.what()}, {"records", plan.records}});
    }
    if (!pause_(backoff.next())) return std::nullopt;
  }
}

void CommitDuty::keep_small(const BatchPlan& plan) {
  try {
    for (const auto& [where, segment] : plan.segments) {
      const PartitionAdvance& guard = plan.partitions.at(where.first);
      std::int64_t& segments =
          segments_.try_emplace(where.first, guard.stored_segments).first->second;
      if (++segments < core::kSegmentsPerRollUp) continue;
      segments = 0;
      store_->roll_up({where.first, guard.epoch, guard.generation});
    }
    LogDay newest = newest_day_;
    for (const auto& [where, segment] : plan.segments) newest = std::max(newest, where.second);
    if (newest > newest_day_) store_->drop_expired();
    newest_day_ = newest;
  } catch (const runtime::postgres::Unavailable& failure) {
    connection_broke_ = true;
    runtime::log::warn("keeping_small_failed", {{"reason", failure.what()}});
  } catch (const std::exception& failure) {
    runtime::log::warn("keeping_small_failed", {{"reason", failure.what()}});
  }
}

}  // namespace tally::aggregator
