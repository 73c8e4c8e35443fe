#include "producer/acked_sink.h"

#include <new>
#include <utility>

namespace tally::producer {

core::Result<std::unique_ptr<AckedSink>> AckedSink::open(AckedSinkOptions options,
                                                         OnOutcome on_outcome) {
  auto producer = runtime::kafka::Producer::open({
      .topic = std::move(options.topic),
      .content_type = "application/cloudevents+json",
      .settings = std::move(options.kafka),
      .reports = runtime::kafka::Reports::kEveryMessage,
      .on_delivery =
          [tell = std::move(on_outcome)](const runtime::kafka::Delivery& delivery) {
            tell({delivery.tag, delivery.key, delivery.delivered, delivery.reason});
          },
  });
  if (!producer) return producer.error();
  auto sink = std::make_unique<AckedSink>();
  sink->producer_ = std::move(producer.value());
  return sink;
}

Offered AckedSink::offer(const SinkEvent& event) {
  try {
    return produce(event);
  } catch (const std::bad_alloc&) {
    return Offered::kFull;
  }
}

Offered AckedSink::produce(const SinkEvent& event) {
  switch (producer_->produce(event.key, event.value, event.tag)) {
    case runtime::kafka::Enqueued::kQueued:
      return Offered::kAccepted;
    case runtime::kafka::Enqueued::kQueueFull:
      return Offered::kFull;
    case runtime::kafka::Enqueued::kTooLarge:
      return Offered::kTooLarge;
    case runtime::kafka::Enqueued::kFatal:
      break;
  }
  return Offered::kClosed;
}

bool AckedSink::flush(std::chrono::milliseconds time) { return producer_->flush(time) == 0; }

}  // namespace tally::producer
