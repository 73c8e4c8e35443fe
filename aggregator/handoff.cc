#include "aggregator/handoff.h"

#include "core/limits.h"

#include <algorithm>

namespace tally::aggregator {

void append_handoff(const runtime::kafka::Record& record, Admission admission, std::string& block) {
  std::vector<core::HandoffHeader> headers;
  headers.reserve(record.headers.size());
  for (const auto& header : record.headers) headers.push_back({header.name, header.value});
  core::append_handoff({record.partition, record.offset, record.log_time_ms, admission, record.key,
                        record.value, headers},
                       block);
}

std::optional<HandoffRecord> HandoffReader::next() {
  const auto stored = reader_.next();
  if (!stored) return std::nullopt;
  headers_.clear();
  for (const auto& header : stored->headers) headers_.push_back({header.name, header.value});
  HandoffRecord handoff;
  runtime::kafka::Record& record = handoff.record;
  record.partition = stored->partition;
  record.offset = stored->offset;
  record.log_time_ms = stored->log_time_ms;
  record.log_time_kind = runtime::kafka::LogTimeKind::kLogAppendTime;
  record.key = stored->key;
  record.value = stored->value;
  record.headers = headers_;
  handoff.admission = stored->admission;
  return handoff;
}

std::int64_t HandoffBlocks::add(const runtime::kafka::Record& record, Admission admission) {
  if (blocks.empty() || blocks.back().bytes.size() >= core::kMaxHandoffBlockBytes)
    blocks.emplace_back();
  Block& block = blocks.back();
  const std::size_t before = block.bytes.size();
  append_handoff(record, admission, block.bytes);
  const LogDay day = log_day_of(core::Timestamp::from_millis(record.log_time_ms));
  block.first_day = block.records == 0 ? day : std::min(block.first_day, day);
  block.last_day = std::max(block.last_day, day);
  ++block.records;
  ++records;
  return static_cast<std::int64_t>(block.bytes.size() - before);
}

}  // namespace tally::aggregator
