// EventSource over one Kafka consumer.
#pragma once

#include "aggregator/event_source.h"

namespace tally::aggregator {

class KafkaSource final : public EventSource {
 public:
  KafkaSource(const runtime::kafka::ConsumerSettings& settings,
              runtime::kafka::RebalanceListener& listener)
      : consumer_(settings, listener) {}

  runtime::kafka::RecordBatch poll(std::size_t max_records,
                                   std::chrono::milliseconds timeout) override {
    return consumer_.poll(max_records, timeout);
  }
  std::optional<runtime::kafka::Watermarks> watermarks(std::int32_t partition,
                                                       std::chrono::milliseconds timeout) override {
    return consumer_.watermarks(partition, timeout);
  }
  [[nodiscard]] std::optional<std::int64_t> fetched_end(std::int32_t partition) const override {
    return consumer_.fetched_end(partition);
  }
  std::optional<std::int32_t> partition_count(std::chrono::milliseconds timeout) override {
    return consumer_.partition_count(timeout);
  }
  void mirror_offsets(
      const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets) override {
    consumer_.mirror_offsets(next_offsets);
  }
  [[nodiscard]] std::string transport_problem() const override {
    return consumer_.transport_problem();
  }

 private:
  runtime::kafka::Consumer consumer_;
};

}  // namespace tally::aggregator
