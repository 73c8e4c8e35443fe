#include "tests/simulation/sim_log.h"

#include "core/check.h"

#include <utility>

namespace tally::simulation {

std::int64_t SimLog::append(std::int32_t partition, LogEntry entry) {
  Partition& log = at(partition);
  const auto offset = static_cast<std::int64_t>(log.entries.size());
  log.last_time_ms = entry.log_time_ms;
  if (entry.kind == EntryKind::kOpen && !log.first_open) log.first_open = offset;
  log.entries.push_back(std::move(entry));
  return offset;
}

void SimLog::end_transaction(std::int32_t partition, EntryKind fate, std::int64_t log_time_ms) {
  Partition& log = at(partition);
  if (!log.first_open) return;
  for (auto at = static_cast<std::size_t>(*log.first_open); at < log.entries.size(); ++at) {
    if (log.entries[at].kind == EntryKind::kOpen) log.entries[at].kind = fate;
  }
  log.first_open.reset();
  LogEntry marker;
  marker.kind = EntryKind::kControl;
  marker.log_time_ms = log_time_ms;
  append(partition, std::move(marker));
}

std::int64_t SimLog::stable_end(std::int32_t partition) const {
  const Partition& log = of(partition);
  return log.first_open.value_or(static_cast<std::int64_t>(log.entries.size()));
}

bool SimLog::has_open_transaction(std::int32_t partition) const {
  return of(partition).first_open.has_value();
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
