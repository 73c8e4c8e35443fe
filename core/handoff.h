// Records on their way to the partition where their identity is remembered, as the bytes of
// tally.handoff: what the aggregator hands off and what an admin readmits.
//
//   block  := record*                         a new one past kMaxHandoffBlockBytes
//   record := partition i32 | offset i64 | log_time_ms i64 | admission u8
//             | bytes32 key | bytes32 value | headers
//   headers := count u16 | (bytes16 name | bytes32 value)*
//            | count u32 | (bytes32 name | bytes32 value)*    when 0x80 is added to admission, just
//                                                             where the first cannot hold them
//   bytesN := length uN | that many bytes     all integers little-endian
//
// partition and offset are those of the log the record was first read from, however often it is
// handed on.
#pragma once

#include "core/timestamp.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

// What lets a record in. kReadmitted and kReadmittedUnchecked: an admin replays what was late or
// rejected, so that neither the horizon nor the future bound applies any more. The first came
// within its home's memory when it was replayed, and is counted only if it does still; the second
// is counted whatever its home has forgotten.
enum class Admission : std::uint8_t { kLog = 0, kReadmitted = 1, kReadmittedUnchecked = 2 };

// When the first record of an event can have come to the log: the record itself may be a retry,
// however late, of one that came when its time says, or as far before that as a future bound can
// let: the bound of today says nothing, for it may have been larger then. An event without a time
// has the time of the log.
[[nodiscard]] Timestamp earliest_copy(std::optional<Timestamp> event_time, Timestamp log_time);

struct HandoffHeader {
  std::string_view name;
  std::string_view value;
};

struct HandoffRecord {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t log_time_ms = 0;
  Admission admission = Admission::kLog;
  std::string_view key;
  std::string_view value;
  std::span<const HandoffHeader> headers;
};

void append_handoff(const HandoffRecord& record, std::string& block);

// Reads a block; what next() returned lives until the following call, within the block's life. A
// block that cannot be read was written by another version or damaged: next() throws
// std::runtime_error.
class HandoffReader {
 public:
  explicit HandoffReader(std::string_view block) : rest_(block) {}
  std::optional<HandoffRecord> next();

 private:
  std::string_view rest_;
  std::vector<HandoffHeader> headers_;
};

}  // namespace tally::core
