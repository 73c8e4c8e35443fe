#include "tests/simulation/tables.h"

#include "core/limits.h"

#include <algorithm>

namespace tally::simulation {

using aggregator::BatchPlan;
using aggregator::LedgerDelta;

void add(LedgerDelta& line, const LedgerDelta& more) {
  using Column = std::int64_t LedgerDelta::*;
  for (const Column column :
       {&LedgerDelta::consumed, &LedgerDelta::received, &LedgerDelta::handed_off,
        &LedgerDelta::rejected, &LedgerDelta::unmetered, &LedgerDelta::filtered,
        &LedgerDelta::duplicate, &LedgerDelta::conflict, &LedgerDelta::late, &LedgerDelta::counted,
        &LedgerDelta::readmitted, &LedgerDelta::skipped, &LedgerDelta::lost,
        &LedgerDelta::unverifiable}) {
    line.*column += more.*column;
  }
}

namespace {

void apply_advances(const BatchPlan& plan, CommitNumber commit, Tables& tables) {
  for (const auto& [partition, advance] : plan.partitions) {
    PartitionRow& row = tables.states.at(partition.value());
    row.next = advance.next.value();
    if (advance.last_offset) row.last_offset = advance.last_offset->value();
    if (advance.last_digest) row.last_digest = advance.last_digest;
    if (advance.last_log_time)
      row.last_log_time = std::max(row.last_log_time, *advance.last_log_time);
    row.changed = commit;
  }
  for (const auto& [where, line] : plan.ledger)
    add(tables.ledger[{where.first.value(), where.second}], line);
  for (const auto& range : plan.lost) tables.lost.push_back(range);
}

void apply_memory(const BatchPlan& plan, CommitNumber commit, Tables& tables) {
  for (const auto& [where, segment] : plan.segments) {
    SegmentRow row;
    row.partition = where.first.value();
    row.day = where.second;
    row.topic_partitions = plan.topic_partitions;
    row.token = segment.token;
    row.entries = segment.entries;
    row.created = commit;
    tables.segments.emplace(tables.next_segment++, std::move(row));
  }
  for (const auto& [home, rows] : plan.taken) {
    for (const auto& row : rows) tables.handoffs.erase(row.id.value());
  }
  for (const auto& [way, blocks] : plan.handoffs) {
    for (const auto& block : blocks.blocks) {
      tables.handoffs.emplace(tables.next_handoff++,
                              HandoffStored{way.first.value(), way.second.value(), block.records,
                                            block.bytes, block.first_day, block.last_day});
    }
  }
}

void apply_rejects(const BatchPlan& plan, Tables& tables) {
  const auto& meters = plan.meters->meters();
  for (const auto& [where, count] : plan.meter_rejects)
    tables.meter_rejects[{meters[where.first].slug, where.second}] += count;
  for (const auto& row : plan.rejects) {
    RejectStored& kept = tables.rejects[{row.partition.value(), row.offset.value(), row.meter}];
    kept = {row.reject_class, std::string(row.reason), kept.verdicts + 1};  // the last one stands
  }
}

}  // namespace

std::optional<LogDay> Tables::slowest_day() const {
  std::optional<LogDay> slowest;
  std::optional<LogDay> fastest;
  std::int32_t clocks = 0;
  const auto consider = [&](LogDay day) { slowest = std::min(slowest.value_or(day), day); };
  for (const auto& [partition, row] : states) {
    if (row.last_log_time == core::Timestamp()) continue;  // it has never seen a record
    const LogDay day = aggregator::log_day_of(row.last_log_time);
    consider(day);
    fastest = std::max(fastest.value_or(day), day);
    ++clocks;
  }
  if (!fastest) return std::nullopt;
  if (clocks < partitions) consider(*fastest - core::kMaxLagDays);
  for (const auto& [id, row] : handoffs) {
    if (!row.readmission) consider(row.first_day);
  }
  return slowest;
}

void Tables::apply(const BatchPlan& plan, CommitNumber commit) {
  apply_advances(plan, commit, *this);
  apply_memory(plan, commit, *this);
  apply_totals(plan);
  apply_rejects(plan, *this);
}

}  // namespace tally::simulation
