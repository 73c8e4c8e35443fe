#include "producer/spool/spooled_sink.h"

#include "producer/spool/posix_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace tally::producer::spool {
namespace {

// What the relay has in flight is bounded by its ring; the client's own queue must hold no more
// memory than that needs. A record as large as the topic takes must not stop at the client.
constexpr const char* kQueueKbytes = "65536";

std::optional<core::Error> check(const SpooledSinkOptions& options) {
  if (options.segment_bytes < core::kMinSpoolSegmentBytes ||
      options.segment_bytes > core::kMaxSpoolSegmentBytes) {
    return core::invalid(fmt::format("spool segments of {} bytes: set {} to {}",
                                     options.segment_bytes, core::kMinSpoolSegmentBytes,
                                     core::kMaxSpoolSegmentBytes));
  }
  if (options.max_bytes < 2 * options.segment_bytes) {
    return core::invalid(
        fmt::format("a spool of {} bytes in segments of {}: it needs room for two of them; raise "
                    "its bound or make the segments smaller",
                    options.max_bytes, options.segment_bytes));
  }
  return std::nullopt;
}

runtime::kafka::ProducerOptions producer_options(const SpooledSinkOptions& options) {
  runtime::kafka::ProducerOptions producer{
      .topic = options.topic, .content_type = options.content_type, .settings = options.kafka};
  producer.settings.try_emplace("queue.buffering.max.kbytes", kQueueKbytes);
  producer.settings.try_emplace("message.max.bytes", std::to_string(core::kMaxRecordBytes));
  return producer;
}

// What fits into Kafka's client; a setting that is no number is its to complain of.
std::size_t max_event_bytes(const SpooledSinkOptions& options) {
  const auto set = options.kafka.find("message.max.bytes");
  if (set == options.kafka.end()) return core::kMaxSpoolEventBytes;
  std::size_t bytes = core::kMaxRecordBytes;
  std::from_chars(set->second.data(), set->second.data() + set->second.size(), bytes);
  return std::min(std::max(bytes, core::kMaxKafkaEnvelopeBytes) - core::kMaxKafkaEnvelopeBytes,
                  core::kMaxSpoolEventBytes);
}

}  // namespace

core::Result<std::unique_ptr<SpooledSink>> SpooledSink::open(SpooledSinkOptions options) {
  if (const auto wrong = check(options)) return *wrong;
  auto folder = open_folder(options.folder);
  if (!folder) return folder.error();
  SpoolOptions spool_options;
  spool_options.limits = {options.max_bytes, options.segment_bytes};
  spool_options.max_event_bytes = max_event_bytes(options);
  spool_options.on_outcome = options.on_outcome;
  auto spool = Spool::open(std::move(folder.value()), std::move(spool_options));
  if (!spool) return spool.error();
  auto sink = std::make_unique<SpooledSink>(std::move(spool.value()));
  RelayOptions relay_options;
  relay_options.open = kafka_outlet(producer_options(options));
  auto relay = Relay::open(sink->spool_->store(), std::move(relay_options));
  if (!relay) return relay.error();
  sink->relay_ = std::move(relay.value());
  return sink;
}

SpooledSink::SpooledSink(std::unique_ptr<Spool> spool)
    : spool_(std::move(spool)), at_open_(spool_->store().figures()) {}

SpooledCounts SpooledSink::counts() const {
  SpooledCounts counts;
  // The relay's first: what it has ended was kept before.
  counts.relay = relay_->counts();
  counts.spool = spool_->counts();
  counts.found = at_open_.waiting_records;
  const StoreFigures figures = spool_->store().figures();
  counts.spooled = figures.next_sequence - at_open_.next_sequence;
  const std::uint64_t ended =
      counts.relay.delivered + counts.relay.refused + counts.relay.lost + counts.relay.torn;
  counts.waiting_records = counts.found + counts.spooled - ended;
  counts.waiting_bytes = figures.waiting_bytes;
  counts.disk_bytes = figures.disk_bytes;
  counts.cut_bytes = spool_->store().cut_bytes();
  if (counts.relay.oldest_ms > 0 && counts.waiting_records > 0) {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    const std::int64_t age = now.count() - static_cast<std::int64_t>(counts.relay.oldest_ms);
    counts.oldest_waiting_s = static_cast<std::uint64_t>(std::max<std::int64_t>(age, 0)) / 1000;
  }
  return counts;
}

std::optional<std::string> SpooledSink::problem() const {
  if (auto problem = spool_->problem()) return problem;
  return relay_->problem();
}

}  // namespace tally::producer::spool
