// The seam to the log: what a session needs of Kafka. Implemented by KafkaSource, and by the
// simulator over a log of its own.
#pragma once

#include "runtime/kafka/consumer.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {

// One member of the consumer group. Threads: one. The listener is called inside poll() and the
// destructor. What each call promises, and what it does not, stands in runtime/kafka/consumer.h.
class EventSource {
 public:
  virtual ~EventSource() = default;

  virtual runtime::kafka::RecordBatch poll(std::size_t max_records,
                                           std::chrono::milliseconds timeout) = 0;
  virtual std::optional<runtime::kafka::Watermarks> watermarks(
      std::int32_t partition, std::chrono::milliseconds timeout) = 0;
  [[nodiscard]] virtual std::optional<std::int64_t> fetched_end(std::int32_t partition) const = 0;
  virtual std::optional<std::int32_t> partition_count(std::chrono::milliseconds timeout) = 0;
  virtual void mirror_offsets(
      const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets) = 0;
  [[nodiscard]] virtual std::string transport_problem() const = 0;
};

enum class Membership : std::uint8_t {
  kConfigured,  // static where the program has a name: a restart takes its partitions back at once
  kNewMember,   // the group gives everybody an assignment anew
};

using SourceFactory = std::function<std::unique_ptr<EventSource>(
    runtime::kafka::RebalanceListener& listener, Membership membership)>;

}  // namespace tally::aggregator
