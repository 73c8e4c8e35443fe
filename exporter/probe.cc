#include "exporter/probe.h"

#include <fmt/core.h>

#include <utility>

namespace tally::exporter {
namespace {

using runtime::metrics::Registry;

// A metric takes what JSON takes; counts of rows stay far below where that is not exact.
int metric(std::size_t count) { return static_cast<int>(count); }

}  // namespace

Probe::Probe(Registry& registry, Overdue overdue)
    : overdue_(std::move(overdue)),
      rows_planned_(
          registry.counter("tally_exporter_rows_planned_total", "Outbox rows that were born.")),
      cycles_(registry.counter("tally_exporter_cycles_total", "Cycles that ended well.")),
      cycle_failures_(registry.counter("tally_exporter_cycle_failures_total",
                                       "Cycles that ended early, and will be tried again.")),
      retries_(registry.counter("tally_exporter_retries_total",
                                "Requests sent again with the same identifier.")),
      answer_seconds_(registry.histogram("tally_exporter_answer_seconds",
                                         "Time from a request to what came of it.",
                                         {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30})),
      last_success_seconds_(registry.gauge("tally_exporter_last_success_time_seconds",
                                           "Unix time of the last cycle that ended well.")),
      overdue_seconds_(registry.gauge("tally_exporter_overdue_time_seconds",
                                      "Unix time by which two more cycles were to end well.")),
      held_periods_(registry.gauge("tally_exporter_held_periods",
                                   "Periods of a tenant and meter for which nothing is planned.")) {
  const std::map<Verdict, const char*> verdicts{{Verdict::kDelivered, "delivered"},
                                                {Verdict::kDuplicate, "duplicate"},
                                                {Verdict::kRejected, "rejected"},
                                                {Verdict::kHeld, "held"},
                                                {Verdict::kUncertain, "uncertain"},
                                                {Verdict::kRetry, "retry"},
                                                {Verdict::kStop, "stop"}};
  for (const auto& [verdict, name] : verdicts) {
    answers_.emplace(
        verdict, registry.counter("tally_exporter_answers_total", "Outcomes of requests to Stripe.",
                                  {{"outcome", name}}));
  }
  for (const RowState state :
       {RowState::kPlanned, RowState::kSending, RowState::kUncertain, RowState::kHeld}) {
    rows_open_.emplace(state, registry.gauge("tally_exporter_outbox_rows",
                                             "Outbox rows that are not final, after a cycle.",
                                             {{"state", std::string(to_string(state))}}));
  }
}

void Probe::planned(const PlanResult& plan) {
  rows_planned_.add(metric(plan.rows.size()));
  held_periods_.set(metric(plan.held.size()));
}

void Probe::answered(const Decision& decision, std::chrono::microseconds took) {
  answers_.at(decision.verdict).add();
  answer_seconds_.observe(static_cast<int>(took.count() / 1'000) / 1e3);
}

void Probe::sent(const SendCounts& counts) { retries_.add(metric(counts.retries)); }

void Probe::cycle_succeeded(core::Timestamp now, const OutboxStanding& standing) {
  cycles_.add();
  last_success_seconds_.set(static_cast<int>(now.seconds()));
  overdue_seconds_.set(static_cast<int>(overdue_(now).seconds()));
  rows_open_.at(RowState::kPlanned).set(metric(standing.planned));
  rows_open_.at(RowState::kSending).set(metric(standing.sending));
  rows_open_.at(RowState::kUncertain).set(metric(standing.uncertain));
  rows_open_.at(RowState::kHeld).set(metric(standing.held));
  const std::lock_guard lock(mutex_);
  problem_.clear();
  last_success_ = now;
}

void Probe::cycle_failed(const std::string& reason) {
  cycle_failures_.add();
  const std::lock_guard lock(mutex_);
  problem_ = reason;
}

void Probe::waiting_for_other_exporter() {
  const std::lock_guard lock(mutex_);
  problem_ = "another tally-exporter works on this database; this one waits until it ends";
}

std::vector<std::string> Probe::reasons(core::Timestamp now) const {
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) return {problem_};
  const core::Timestamp limit = overdue_(last_success_);
  if (now <= limit) return {};
  return {
      fmt::format("no cycle has ended since {}, and two were due by {}: look at the log and at "
                  "Stripe's status",
                  core::to_rfc3339(last_success_), core::to_rfc3339(limit))};
}

}  // namespace tally::exporter
