#include "producer/usage_client.h"

#include "producer/request_id.h"
#include "runtime/kafka/producer.h"

#include <fmt/core.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace tally::producer {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;

constexpr std::string_view kStructured = "application/cloudevents+json";

core::Timestamp now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return core::Timestamp::from_micros(
      std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

}  // namespace

struct UsageClient::Impl {
  UsageClientOptions options;
  std::atomic<std::size_t> queued_events{0};
  std::atomic<std::size_t> queued_bytes{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> delivered{0};
  std::atomic<std::uint64_t> dropped_full{0};
  std::atomic<std::uint64_t> refused{0};
  mutable std::mutex mutex;
  std::map<std::string, std::uint64_t> failed;  // guarded by mutex
  // Last: its thread calls back into what stands above until it is gone.
  std::unique_ptr<runtime::kafka::Producer> producer;

  // Takes room for one event, or leaves everything as it was.
  bool reserve(std::size_t bytes);
  void release(std::size_t bytes);
  void on_delivery(const Delivery& delivery);
  Receipt record(core::UsageEvent& event, std::uint64_t tag);
  Receipt enqueue(core::UsageEvent& event, std::uint64_t tag);
};

bool UsageClient::Impl::reserve(std::size_t bytes) {
  const std::size_t events = queued_events.fetch_add(1) + 1;
  const std::size_t all = queued_bytes.fetch_add(bytes) + bytes;
  if (events <= options.max_queued_events && all <= options.max_queued_bytes) return true;
  release(bytes);
  return false;
}

void UsageClient::Impl::release(std::size_t bytes) {
  queued_events.fetch_sub(1);
  queued_bytes.fetch_sub(bytes);
}

void UsageClient::Impl::on_delivery(const Delivery& delivery) {
  if (delivery.delivered) {
    ++delivered;
  } else {
    const std::scoped_lock lock(mutex);
    ++failed[std::string(delivery.reason)];
  }
  release(delivery.key.size() + delivery.value_bytes);
  if (options.on_outcome) {
    options.on_outcome(Outcome{.id = delivery.key,
                               .tag = delivery.tag,
                               .delivered = delivery.delivered,
                               .partition = delivery.partition,
                               .offset = delivery.offset,
                               .reason = delivery.reason});
  }
}

Receipt UsageClient::Impl::enqueue(core::UsageEvent& event, std::uint64_t tag) {
  std::string text;
  core::append_structured(event, text);
  const std::size_t bytes = event.id.size() + text.size();
  if (!reserve(bytes)) {
    ++dropped_full;
    return {Recorded::kQueueFull, std::move(event.id),
            fmt::format("the queue is full ({} events or {} bytes wait for the broker)",
                        options.max_queued_events, options.max_queued_bytes)};
  }
  // Before the message is on its way: its delivery may be counted before produce() returns.
  ++accepted;
  const Enqueued enqueued = producer->produce(event.id, text, tag);
  if (enqueued == Enqueued::kQueued) return {Recorded::kAccepted, std::move(event.id), ""};
  --accepted;
  release(bytes);
  if (enqueued == Enqueued::kQueueFull) {
    ++dropped_full;
    return {Recorded::kQueueFull, std::move(event.id),
            "the Kafka client's queue is full: raise queue.buffering.max.messages"};
  }
  ++refused;
  if (enqueued == Enqueued::kTooLarge) {
    return {Recorded::kInvalid, std::move(event.id),
            fmt::format("{} bytes are more than message.max.bytes: send less data", text.size())};
  }
  return {Recorded::kClosed, std::move(event.id),
          producer->fatal_error().value_or("the producer has ended")};
}

Receipt UsageClient::Impl::record(core::UsageEvent& event, std::uint64_t tag) {
  if (event.id.empty()) event.id = new_request_id();
  if (!event.time) event.time = now();
  const auto valid = core::validate(event);
  if (!valid) {
    ++refused;
    return {Recorded::kInvalid, std::move(event.id), valid.error().message};
  }
  return enqueue(event, tag);
}

core::Result<std::unique_ptr<UsageClient>> UsageClient::open(UsageClientOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const UsageClientOptions& wanted = impl->options;
  runtime::kafka::ClientSettings settings = wanted.kafka;
  if (!wanted.brokers.empty()) settings["bootstrap.servers"] = wanted.brokers;
  settings.try_emplace("message.timeout.ms", std::to_string(wanted.delivery_timeout.count()));
  auto producer = runtime::kafka::Producer::open({
      .topic = wanted.topic,
      .content_type = std::string(kStructured),
      .settings = std::move(settings),
      .reports = runtime::kafka::Reports::kEveryMessage,
      .on_delivery = [raw = impl.get()](const Delivery& delivery) { raw->on_delivery(delivery); },
  });
  if (!producer) return producer.error();
  impl->producer = std::move(producer.value());
  return std::make_unique<UsageClient>(std::move(impl));
}

UsageClient::UsageClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

UsageClient::~UsageClient() { static_cast<void>(flush(impl_->options.drain_deadline)); }

Receipt UsageClient::record(core::UsageEvent event, std::uint64_t tag) noexcept {
  try {
    return impl_->record(event, tag);
  } catch (const std::exception&) {
    // Out of memory: the one thing that can be thrown here. Nothing was queued.
    ++impl_->dropped_full;
    return {Recorded::kQueueFull, {}, {}};
  }
}

std::size_t UsageClient::flush(milliseconds deadline) { return impl_->producer->flush(deadline); }

UsageCounts UsageClient::counts() const {
  UsageCounts counts;
  {
    const std::scoped_lock lock(impl_->mutex);
    counts.failed_by_reason = impl_->failed;
  }
  for (const auto& [reason, count] : counts.failed_by_reason) counts.failed += count;
  counts.delivered = impl_->delivered;
  // Read last, so that it is never less than what has ended.
  counts.accepted = impl_->accepted;
  counts.dropped_full = impl_->dropped_full;
  counts.refused = impl_->refused;
  return counts;
}

}  // namespace tally::producer
