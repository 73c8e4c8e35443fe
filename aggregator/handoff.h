// Records on their way to another partition (DESIGN.md, section 4): core/handoff.h holds the bytes
// of tally.handoff, here they are Kafka's records.
#pragma once

#include "aggregator/dedup/log_day.h"
#include "core/handoff.h"
#include "core/ids.h"
#include "core/timestamp.h"
#include "runtime/kafka/consumer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

using core::Admission;
using dedup::LogDay;
inline constexpr std::int64_t kMicrosPerDay = 86'400'000'000;
[[nodiscard]] inline LogDay log_day_of(core::Timestamp time) {
  return static_cast<LogDay>(time.micros() / kMicrosPerDay);
}

struct HandoffRecord {
  runtime::kafka::Record record;
  Admission admission = Admission::kLog;
};

void append_handoff(const runtime::kafka::Record& record, Admission admission, std::string& block);

// Reads a block; what next() returned lives until the following call, within the block's life. A
// block that cannot be read was written by another version or damaged: next() throws
// std::runtime_error, and nothing of its partition is counted.
class HandoffReader {
 public:
  explicit HandoffReader(std::string_view block) : reader_(block) {}
  std::optional<HandoffRecord> next();

 private:
  core::HandoffReader reader_;
  std::vector<runtime::kafka::Header> headers_;
};

// The rows of tally.handoff that one plan adds for one home.
struct HandoffBlocks {
  struct Block {
    std::string bytes;
    std::int64_t records = 0;
    LogDay first_day = 0;  // of which it holds a record
    LogDay last_day = 0;
  };
  std::vector<Block> blocks;
  std::int64_t records = 0;
  // The bytes that it took, headers and all.
  std::int64_t add(const runtime::kafka::Record& record, Admission admission);
};

// A row of tally.handoff that waits for its home.
struct HandoffRow {
  core::HandoffId id;
  std::int64_t records = 0;
  std::string bytes;
};

// A row whose records were folded: the same commit removes it.
struct HandoffTaken {
  core::HandoffId id;
  std::int64_t records = 0;
};

}  // namespace tally::aggregator
