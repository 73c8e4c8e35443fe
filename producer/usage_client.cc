#include "producer/usage_client.h"

#include "core/limits.h"
#include "producer/acked_sink.h"
#include "producer/client_impl.h"
#include "producer/signals_blocked.h"
#include "producer/spool/spooled_sink.h"
#include "runtime/kafka/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace tally::producer {
namespace {

constexpr std::string_view kContentType = "application/cloudevents+json";
// Kafka's own limit; 0 would be for ever to it.
constexpr std::chrono::milliseconds kMaxDeliveryTimeout{std::numeric_limits<std::int32_t>::max()};

runtime::kafka::ClientSettings settings_of(const UsageClientOptions& options) {
  runtime::kafka::ClientSettings settings = runtime::kafka::merged({}, options.kafka);
  if (!options.brokers.empty()) settings["bootstrap.servers"] = options.brokers;
  if (options.level == Level::kSpooled) {
    // A record as large as the topic takes must not stop at the relay's client.
    settings.try_emplace("message.max.bytes", std::to_string(core::kMaxRecordBytes));
  }
  const auto timeout = std::min(options.delivery_timeout, kMaxDeliveryTimeout);
  settings["message.timeout.ms"] = std::to_string(timeout.count());
  return settings;
}

core::Result<MadeSink> make_acked_sink(const UsageClientOptions& options,
                                       EventSink::OnOutcome on_outcome) {
  auto sink = AckedSink::open({.topic = options.topic, .kafka = settings_of(options)},
                              std::move(on_outcome));
  if (!sink) return sink.error();
  const AckedSink* raw = sink.value().get();
  return MadeSink{
      .sink = std::move(sink.value()), .problem = [raw] {
        return raw->fatal_error().value_or("the Kafka producer has ended: open a new client");
      }};
}

class ViewOfSpool final : public SpoolView {
 public:
  explicit ViewOfSpool(spool::SpooledSink& sink) : sink_(sink) {}
  SpoolAccount account() const override {
    const spool::SpooledCounts counts = sink_.counts();
    return {.found = counts.found,
            .spooled = counts.spooled,
            .delivered = counts.relay.delivered,
            .refused = counts.relay.refused,
            .lost = counts.relay.lost,
            .torn = counts.relay.torn,
            .waiting = counts.waiting_records,
            .disk_bytes = counts.disk_bytes,
            .oldest_waiting = std::chrono::seconds(counts.oldest_waiting_s),
            .problem = sink_.problem().value_or("")};
  }
  void drain(std::chrono::milliseconds time) override { static_cast<void>(sink_.drain(time)); }

 private:
  spool::SpooledSink& sink_;
};

core::Result<MadeSink> make_spooled_sink(const UsageClientOptions& options,
                                         EventSink::OnOutcome on_outcome) {
  if (options.spool_directory.empty()) {
    return core::invalid("spool_directory is empty: level kSpooled needs a folder of its own");
  }
  auto sink = spool::SpooledSink::open({.folder = options.spool_directory,
                                        .max_bytes = options.spool_bytes,
                                        .topic = options.topic,
                                        .kafka = settings_of(options),
                                        .on_outcome = std::move(on_outcome)});
  if (!sink) return sink.error();
  spool::SpooledSink* raw = sink.value().get();
  return MadeSink{
      .sink = std::move(sink.value()),
      .problem =
          [raw] { return raw->problem().value_or("the spool has ended: open a new client"); },
      .spool = std::make_unique<ViewOfSpool>(*raw)};
}

core::Result<MadeSink> make_sink(const UsageClientOptions& options,
                                 EventSink::OnOutcome on_outcome) {
  if (auto wrong = runtime::kafka::producer_objection(options.kafka)) {
    return core::invalid(std::move(wrong->sentence));
  }
  const auto most = runtime::kafka::max_message_bytes(settings_of(options), kContentType);
  if (!most) return most.error();
  auto made = options.level == Level::kSpooled ? make_spooled_sink(options, std::move(on_outcome))
                                               : make_acked_sink(options, std::move(on_outcome));
  if (made) made.value().max_event_bytes = std::min(most.value(), core::kMaxRecordBytes);
  return made;
}

std::string problem_of(const UsageClientOptions& options) {
  if (options.queue_bytes > core::kMaxQueueBytes) {
    return fmt::format("queue_bytes is {}, the limit is {}: give less", options.queue_bytes,
                       core::kMaxQueueBytes);
  }
  if (options.max_outstanding_events == 0 ||
      options.max_outstanding_events > core::kMaxOutstandingEvents) {
    return fmt::format("max_outstanding_events is {}: give 1 to {}", options.max_outstanding_events,
                       core::kMaxOutstandingEvents);
  }
  if (options.delivery_timeout < std::chrono::milliseconds(1)) {
    return fmt::format("delivery_timeout is {} ms: give 1 or more",
                       options.delivery_timeout.count());
  }
  return options.source.empty() ? std::string() : std::string(source_problem(options.source));
}

}  // namespace

Opened open_client(UsageClientOptions options, const MakeSink& make_sink) {
  if (std::string problem = problem_of(options); !problem.empty()) return {nullptr, problem};
  auto impl = std::make_unique<UsageClient::Impl>(std::move(options));
  // The sink's threads begin here too.
  const SignalsBlocked blocked;
  auto made =
      make_sink([raw = impl.get()](const SinkOutcome& outcome) { raw->finish(outcome, true); });
  if (!made) return {nullptr, made.error().message};
  impl->start(std::move(made.value()));
  return {std::make_unique<UsageClient>(std::move(impl)), {}};
}

Opened UsageClient::open(UsageClientOptions options) {
  const UsageClientOptions wanted = options;
  return open_client(std::move(options), [&wanted](EventSink::OnOutcome on_outcome) {
    return make_sink(wanted, std::move(on_outcome));
  });
}

UsageClient::UsageClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

UsageClient::~UsageClient() {
  if (impl_->is_fork()) {
    // The threads that it would wait for are the parent's.
    static_cast<void>(impl_.release());
    return;
  }
  static_cast<void>(impl_->flush(impl_->options.drain_deadline));
  impl_->stop();
}

Receipt UsageClient::record(std::string_view type, std::string_view tenant,
                            std::span<const Field> data, const Details& details) noexcept {
  return impl_->record(event_of(type, tenant, details), &data, nullptr);
}

Receipt UsageClient::record(const UsageEvent& event) noexcept {
  return impl_->record(event, nullptr, nullptr);
}

std::size_t UsageClient::flush(std::chrono::milliseconds deadline) {
  return impl_->is_fork() ? 0 : impl_->flush(deadline);
}

std::size_t UsageClient::drain(std::chrono::milliseconds deadline) {
  return impl_->is_fork() ? 0 : impl_->drain(deadline);
}

void UsageClient::wait_for_room(std::chrono::milliseconds deadline) {
  if (!impl_->is_fork()) impl_->wait_for_room(deadline);
}

UsageCounts UsageClient::counts() const { return impl_->counts(); }

std::optional<SpoolAccount> UsageClient::spool_account() const {
  if (impl_->is_fork()) return std::nullopt;
  return impl_->spool_account();
}

std::string_view UsageClient::stream_id() const { return impl_->stream_id; }

}  // namespace tally::producer
