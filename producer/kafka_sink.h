// The sink at level acked: kept means that all in-sync replicas of the broker have the event.
#pragma once

#include "core/result.h"
#include "producer/event_sink.h"
#include "runtime/kafka/producer.h"

#include <memory>
#include <string>

namespace tally::producer {

struct KafkaSinkOptions {
  std::string topic;
  runtime::kafka::ClientSettings settings;
};

// Threads, lifetime: EventSink's. The destructor gives up what is outstanding ("_PURGE_QUEUE").
class KafkaSink final : public EventSink {
 public:
  // Does not wait for the broker. An error names the setting that is wrong.
  [[nodiscard]] static core::Result<std::unique_ptr<KafkaSink>> open(KafkaSinkOptions options,
                                                                     OnOutcome on_outcome);
  explicit KafkaSink(std::unique_ptr<runtime::kafka::Producer> producer);

  [[nodiscard]] Offered offer(const SinkEvent& event) override;
  // Why it is closed and what to do.
  [[nodiscard]] std::string problem() const;

 private:
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

}  // namespace tally::producer
