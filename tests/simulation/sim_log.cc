#include "tests/simulation/sim_log.h"

#include "core/check.h"

#include <utility>

namespace tally::simulation {

std::int64_t SimLog::append(std::int32_t partition, LogEntry entry) {
  Partition& log = at(partition);
  log.last_time_ms = entry.log_time_ms;
  log.entries.push_back(std::move(entry));
  return static_cast<std::int64_t>(log.entries.size()) - 1;
}

void SimLog::end_transaction(std::int32_t partition, EntryKind fate, std::int64_t log_time_ms) {
  bool any = false;
  for (LogEntry& entry : at(partition).entries) {
    if (entry.kind != EntryKind::kOpen) continue;
    entry.kind = fate;
    any = true;
  }
  if (!any) return;
  LogEntry marker;
  marker.kind = EntryKind::kControl;
  marker.log_time_ms = log_time_ms;
  append(partition, std::move(marker));
}

std::int64_t SimLog::stable_end(std::int32_t partition) const {
  const auto& entries = of(partition).entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind == EntryKind::kOpen) return static_cast<std::int64_t>(i);
  }
  return static_cast<std::int64_t>(entries.size());
}

bool SimLog::has_open_transaction(std::int32_t partition) const {
  return stable_end(partition) != static_cast<std::int64_t>(of(partition).entries.size());
}

runtime::kafka::Record SimLog::record(std::int32_t partition, std::int64_t offset) const {
  const LogEntry& entry = of(partition).entries.at(static_cast<std::size_t>(offset));
  TALLY_CHECK(entry.kind == EntryKind::kRecord);
  runtime::kafka::Record record;
  record.partition = partition;
  record.offset = offset;
  record.log_time_ms = entry.log_time_ms;
  record.log_time_kind = runtime::kafka::LogTimeKind::kLogAppendTime;
  record.key = entry.key;
  record.value = entry.value;
  record.headers = entry.headers;
  return record;
}

}  // namespace tally::simulation
