// The simulated topic: partitions whose log time is set on append, transactions, retention, growth.
// It also knows what each record was meant to be, for the auditor.
#pragma once

#include "runtime/kafka/consumer.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace tally::simulation {

enum class EntryKind : std::uint8_t {
  kRecord,
  kOpen,     // of a transaction whose end is not yet known: readers stop before it
  kAborted,  // never handed out
  kControl,  // commit and abort markers: offsets without a record
};

struct LogEntry {
  EntryKind kind = EntryKind::kRecord;
  std::int64_t log_time_ms = 0;
  std::string key;
  std::string value;
  std::vector<runtime::kafka::Header> headers;
  std::size_t message = 0;  // index into the workload's messages
};

class SimLog {
 public:
  struct Partition {
    std::deque<LogEntry> entries;  // never moved: records point into them
    std::int64_t start = 0;        // retention removed what is below
    std::int64_t last_time_ms = 0;
    std::optional<std::int64_t> first_open;  // offset of the first entry whose end is not known
  };

  explicit SimLog(std::int32_t partitions) : partitions_(static_cast<std::size_t>(partitions)) {}

  std::int64_t append(std::int32_t partition, LogEntry entry);
  void grow(std::int32_t partitions) { partitions_.resize(static_cast<std::size_t>(partitions)); }
  // Ends the open transaction of a partition: what stands open becomes `fate`, and a marker
  // follows.
  void end_transaction(std::int32_t partition, EntryKind fate, std::int64_t log_time_ms);
  void retain_from(std::int32_t partition, std::int64_t start) { at(partition).start = start; }

  [[nodiscard]] std::int32_t partitions() const {
    return static_cast<std::int32_t>(partitions_.size());
  }
  [[nodiscard]] const Partition& of(std::int32_t partition) const {
    return partitions_.at(static_cast<std::size_t>(partition));
  }
  // One past the last offset that may be read: the first open transaction holds readers back.
  [[nodiscard]] std::int64_t stable_end(std::int32_t partition) const;
  [[nodiscard]] bool has_open_transaction(std::int32_t partition) const;
  [[nodiscard]] runtime::kafka::Record record(std::int32_t partition, std::int64_t offset) const;

 private:
  Partition& at(std::int32_t partition) {
    return partitions_.at(static_cast<std::size_t>(partition));
  }
  std::deque<Partition> partitions_;  // growth moves none: records point into them
};

}  // namespace tally::simulation
