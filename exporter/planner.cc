#include "exporter/planner.h"

#include <algorithm>

namespace tally::exporter {
namespace {

std::vector<Remark> remarks(const Totals& totals, const std::vector<Obstacle>& obstacles) {
  std::vector<Remark> all;
  for (const Obstacle& obstacle : obstacles) {
    const PeriodAccount& account = totals.accounts[obstacle.account];
    const Series& series = totals.series[account.series];
    all.push_back({series.tenant, series.meter, account.period.start, obstacle.reason});
  }
  return all;
}

}  // namespace

PlanResult plan_exports(ExportStore& store, core::Timestamp now, AfterRejection after_rejection,
                        PlanMode mode) {
  const std::unique_ptr<PlanTransaction> transaction = store.begin_plan(mode);
  const core::IdentityHasher hasher = transaction->hasher();
  // The open rows first: what a period has planned can only move while it has one. The other way
  // round, a rejection between the two reads would be planned against as if it still stood.
  const OpenSeries open_series = transaction->open_series();
  const Totals totals = transaction->totals(now);
  std::vector<bool> open;
  open.reserve(totals.series.size());
  for (const Series& series : totals.series) open.push_back(open_series.holds(series));
  const DuePlan due = find_due(totals.series, totals.accounts, open, now, after_rejection);
  const UsedMinutes used = transaction->used_minutes(totals, due);
  BirthPlan births = assign_minutes(totals.series, totals.accounts, due, used, hasher);

  PlanResult result;
  result.series = totals.series;
  result.rows = std::move(births.rows);
  result.held = remarks(totals, due.held);
  result.waiting = remarks(totals, due.waiting);
  for (Remark& remark : remarks(totals, births.waiting)) result.waiting.push_back(remark);
  result.not_exported = totals.not_exported;
  result.more_follows =
      due.behind_open_rows > 0 || std::any_of(due.due.begin(), due.due.end(),
                                              [](const DueAmount& d) { return d.more_follows; });
  if (mode == PlanMode::kDryRun) return result;
  transaction->write(totals, due.held, result.rows, now);
  transaction->commit();
  return result;
}

}  // namespace tally::exporter
