#include "producer/kafka_sink.h"

#include <utility>

namespace tally::producer {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;

constexpr const char* kStructured = "application/cloudevents+json";

}  // namespace

core::Result<std::unique_ptr<KafkaSink>> KafkaSink::open(KafkaSinkOptions options,
                                                         OnOutcome on_outcome) {
  auto producer = runtime::kafka::Producer::open({
      .topic = std::move(options.topic),
      .content_type = kStructured,
      .settings = std::move(options.settings),
      .reports = runtime::kafka::Reports::kEveryMessage,
      .on_delivery =
          [on_outcome = std::move(on_outcome)](const Delivery& delivery) {
            on_outcome({.tag = delivery.tag,
                        .key = delivery.key,
                        .kept = delivery.delivered,
                        .reason = delivery.reason});
          },
  });
  if (!producer) return producer.error();
  return std::make_unique<KafkaSink>(std::move(producer.value()));
}

KafkaSink::KafkaSink(std::unique_ptr<runtime::kafka::Producer> producer)
    : producer_(std::move(producer)) {}

Offered KafkaSink::offer(const SinkEvent& event) {
  switch (producer_->produce(event.key, event.value, event.tag)) {
    case Enqueued::kQueued:
      return Offered::kAccepted;
    case Enqueued::kQueueFull:
      return Offered::kFull;
    case Enqueued::kTooLarge:
      return Offered::kTooLarge;
    case Enqueued::kFatal:
      break;
  }
  return Offered::kClosed;
}

std::string KafkaSink::problem() const {
  return producer_->fatal_error().value_or("the Kafka producer has ended: open a new client");
}

}  // namespace tally::producer
