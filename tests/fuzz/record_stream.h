// A stream of Kafka records out of any bytes, in a form that people can write too:
//
//   stream := record (0x1e record)*           at most kMaxRecords
//   record := value                           where it starts with {, or has no empty line
//           | (name ':' text '\n')* '\n' value    headers, then the value
//
// Two names are no headers: `@hours` moves the log's clock on before this record, `@skip` its
// offset.
#pragma once

#include "runtime/kafka/consumer.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace tally::fuzz {

struct StreamRecord {
  std::int64_t hours = 0;  // 0..99 since the record before
  std::int64_t skip = 0;   // 0..99 offsets without a record before it
  std::vector<runtime::kafka::Header> headers;
  std::string_view value;
};

inline constexpr std::size_t kMaxRecords = 16;

// Points into `input`.
std::vector<StreamRecord> read_stream(std::string_view input);

}  // namespace tally::fuzz
