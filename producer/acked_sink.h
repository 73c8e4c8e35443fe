// The sink of level `acked`: kept means that every in-sync replica has the event.
#pragma once

#include "core/result.h"
#include "producer/event_sink.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace tally::producer {

struct AckedSinkOptions {
  std::string topic = "usage.events";
  runtime::kafka::ClientSettings kafka = {};
};

// Copies what is offered. kFull at librdkafka's bounds (queue.buffering.max.*).
class AckedSink final : public EventSink {
 public:
  // Does not wait for the broker. An error names the setting that is wrong.
  [[nodiscard]] static core::Result<std::unique_ptr<AckedSink>> open(AckedSinkOptions options,
                                                                     OnOutcome on_outcome);
  [[nodiscard]] Offered offer(const SinkEvent& event) override;

  // Until everything accepted has its outcome, or the time is over: whether it has.
  [[nodiscard]] bool flush(std::chrono::milliseconds time);
  // Set once and for good: kClosed from now on; start the process anew.
  [[nodiscard]] std::optional<std::string> fatal_error() const { return producer_->fatal_error(); }
  // What Kafka last complained of; it may be over.
  [[nodiscard]] std::optional<std::string> last_problem() const {
    return producer_->last_problem();
  }

 private:
  [[nodiscard]] Offered produce(const SinkEvent& event);

  std::unique_ptr<runtime::kafka::Producer> producer_;
};

}  // namespace tally::producer
