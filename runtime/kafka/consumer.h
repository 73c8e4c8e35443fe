// A group consumer of one topic over librdkafka, read in whole batches.
//
// Threads: one thread polls, and the listener is called on it, inside poll(). Lifetime: the bytes
// of a batch's records live until the batch is destroyed. What it does NOT promise: that no record
// of a revoked partition is still handed out afterwards, nor that none is missing right after a
// rebalance. librdkafka's batch calls did both before 2.2.0, so this takes one message a call; the
// caller guards by position all the same.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tally::runtime::kafka {

struct Header {
  std::string_view name;
  std::string_view value;
};

enum class LogTimeKind : std::uint8_t { kAbsent, kCreateTime, kLogAppendTime };

struct Record {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t log_time_ms = 0;  // since 1970, by the broker's clock when kind is kLogAppendTime
  LogTimeKind log_time_kind = LogTimeKind::kAbsent;
  std::string_view key;
  std::string_view value;
  std::span<const Header> headers;
};

// The end of a partition was reached: every record below `offset` has been handed out.
struct EndOfPartition {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
};

struct RecordBatch {
  struct Storage;
  RecordBatch();
  ~RecordBatch();
  RecordBatch(RecordBatch&&) noexcept;
  RecordBatch& operator=(RecordBatch&&) noexcept;

  std::vector<Record> records;  // in offset order within a partition
  std::vector<EndOfPartition> ends;
  // The stored position is below the log's start: retention removed what was not read yet.
  std::vector<std::int32_t> out_of_range;
  std::unique_ptr<Storage> storage;
};

enum class Revocation : std::uint8_t { kOrderly, kLost };  // kLost: others may own them already

class RebalanceListener {
 public:
  virtual ~RebalanceListener() = default;
  // Returns the offset to start at for each partition, in the same order, or nothing at all: then
  // none of them is read. An exception ends the poll with it and leaves them unread too.
  virtual std::vector<std::int64_t> assigned(const std::vector<std::int32_t>& partitions) = 0;
  virtual void revoked(const std::vector<std::int32_t>& partitions, Revocation kind) = 0;
};

struct ConsumerSettings {
  std::string brokers;
  std::string topic;
  std::string group;
  std::string client_id;
  std::string instance_id;  // static membership; empty: dynamic
  // How far the client fetches ahead of poll(), about: the bytes of records, and their number (each
  // takes half a kilobyte besides). In flight are fetch.message.max.bytes per partition more.
  std::size_t queue_bytes = std::size_t{32} * 1024 * 1024;
  std::size_t queue_records = 100'000;
  std::map<std::string, std::string> extra;  // librdkafka's own names; see settings.h
};

// The client failed for good (wrong settings, authentication, fenced instance id).
class FatalError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Watermarks {
  std::int64_t low = 0;
  std::int64_t high = 0;  // one past the last record, be it of a transaction that is still open
};

class Consumer {
 public:
  // Subscribes and joins the group in the first poll(). Throws FatalError for settings librdkafka
  // refuses.
  Consumer(const ConsumerSettings& settings, RebalanceListener& listener);
  ~Consumer();  // leaves the group; the listener hears revoked() from here too
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Up to `max_records`, as soon as there are any, else what came within `timeout`. Throws
  // FatalError, or what the listener threw.
  RecordBatch poll(std::size_t max_records, std::chrono::milliseconds timeout);

  // Asks the broker. nullopt: no answer in time.
  std::optional<Watermarks> watermarks(std::int32_t partition, std::chrono::milliseconds timeout);
  // The end of the partition as the last fetch found it: asks nobody. nullopt: nothing was fetched.
  [[nodiscard]] std::optional<std::int64_t> fetched_end(std::int32_t partition) const;
  // The topic's partition count. nullopt: no answer in time; 0: no such topic.
  std::optional<std::int32_t> partition_count(std::chrono::milliseconds timeout);
  // Stores next offsets in the group, for lag tools only; not waited for.
  void mirror_offsets(const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets);
  // The last transport problem, empty when the brokers are reachable. Any thread.
  [[nodiscard]] std::string transport_problem() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::kafka
