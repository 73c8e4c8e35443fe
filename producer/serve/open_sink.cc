#include "producer/serve/open_sink.h"

#include "producer/acked_sink.h"
#include "producer/spool/spooled_sink.h"
#include "runtime/kafka/topic.h"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::metrics::Gauge;
using runtime::metrics::Registry;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kBetweenLooks{5};
constexpr std::chrono::milliseconds kLookTimeout{2'000};
// So long an offer that found no room keeps the daemon from being ready.
constexpr std::chrono::seconds kFullFor{5};

// What the last look found, and when it was.
class Seen {
 public:
  bool is_due() {
    const std::scoped_lock lock(mutex_);
    if (looked_ && Clock::now() - at_ < kBetweenLooks) return false;
    looked_ = true;
    at_ = Clock::now();
    return true;
  }
  void found(std::optional<std::string> problem) {
    const std::scoped_lock lock(mutex_);
    problem_ = std::move(problem);
  }
  std::optional<std::string> problem() {
    const std::scoped_lock lock(mutex_);
    return problem_;
  }

 private:
  std::mutex mutex_;
  bool looked_ = false;                 // guarded by mutex_, as all here
  Clock::time_point at_;                // of the last look
  std::optional<std::string> problem_;  // that it found
};

core::Result<OpenedSink> open_acked(const SinkOptions& options, EventSink::OnOutcome on_outcome) {
  auto sink =
      AckedSink::open({.topic = options.topic, .kafka = options.kafka}, std::move(on_outcome));
  if (!sink) return sink.error();
  auto admin = runtime::kafka::Admin::open(options.admin);
  if (!admin) return admin.error();
  const AckedSink& acked = *sink.value();
  const auto seen = std::make_shared<Seen>();
  const std::shared_ptr<runtime::kafka::Admin> asked = std::move(admin.value());
  OpenedSink opened;
  opened.look = [seen, asked, topic = options.topic] {
    if (!seen->is_due()) return;
    const auto partitions = asked->partition_count(topic, kLookTimeout);
    seen->found(partitions ? std::nullopt : std::optional(partitions.error().message));
  };
  opened.reasons = [seen, &acked] {
    std::vector<std::string> reasons;
    if (auto fatal = acked.fatal_error()) reasons.push_back(*std::move(fatal));
    if (auto problem = seen->problem()) reasons.push_back(*std::move(problem));
    return reasons;
  };
  opened.fatal = [&acked] { return acked.fatal_error(); };
  opened.refresh_metrics = [] {};
  opened.sink = std::move(sink.value());
  return opened;
}

// Counts of the spool as gauges: they begin anew with the process, as its account does.
class SpoolGauges {
 public:
  explicit SpoolGauges(Registry& registry) : registry_(registry) {}
  void set(const spool::SpooledCounts& counts) {
    const auto one = [this](const char* name, const char* help, std::uint64_t value) {
      registry_.gauge(name, help).set(static_cast<double>(value));
    };
    one("tally_producer_spool_found_records", "Records found in the spool at the start",
        counts.found);
    one("tally_producer_spool_kept_records", "Records fsynced since the start", counts.spooled);
    one("tally_producer_spool_waiting_records", "Records not yet with the broker",
        counts.waiting_records);
    one("tally_producer_spool_waiting_bytes", "Their bytes", counts.waiting_bytes);
    one("tally_producer_spool_disk_bytes", "Bytes of the spool on disk", counts.disk_bytes);
    one("tally_producer_spool_oldest_waiting_seconds", "Age of the oldest record that waits",
        counts.oldest_waiting_s);
    one("tally_producer_spool_delivered_records", "Records that the broker acked since the start",
        counts.relay.delivered);
    one("tally_producer_spool_refused_records", "Records set aside in refused.ndjson",
        counts.relay.refused);
    one("tally_producer_spool_lost_records", "Records that the disk lost", counts.relay.lost);
    one("tally_producer_spool_torn_records", "Records torn by a crash before they were kept",
        counts.relay.torn);
    one("tally_producer_spool_no_room_total", "Offers that found no room in the spool",
        counts.spool.refused_full);
  }

 private:
  Registry& registry_;
};

// Whether offers found no room lately.
class Room {
 public:
  void look(std::uint64_t refused) {
    const std::scoped_lock lock(mutex_);
    if (refused > refused_) full_at_ = Clock::now();
    refused_ = refused;
  }
  bool is_full() {
    const std::scoped_lock lock(mutex_);
    return full_at_ && Clock::now() - *full_at_ < kFullFor;
  }

 private:
  std::mutex mutex_;
  std::uint64_t refused_ = 0;                 // guarded by mutex_
  std::optional<Clock::time_point> full_at_;  // guarded by mutex_
};

core::Result<OpenedSink> open_spooled(const SinkOptions& options, EventSink::OnOutcome on_outcome,
                                      Registry& registry) {
  auto sink = spool::SpooledSink::open({.folder = options.spool_folder,
                                        .max_bytes = options.spool_bytes,
                                        .topic = options.topic,
                                        .kafka = options.kafka,
                                        .on_outcome = std::move(on_outcome)});
  if (!sink) return sink.error();
  const spool::SpooledSink& spooled = *sink.value();
  const auto room = std::make_shared<Room>();
  const auto gauges = std::make_shared<SpoolGauges>(registry);
  OpenedSink opened;
  opened.look = [room, &spooled] { room->look(spooled.counts().spool.refused_full); };
  // A broker that is away is no reason: that is what the spool is for.
  opened.reasons = [room, &spooled] {
    std::vector<std::string> reasons;
    if (room->is_full()) {
      reasons.push_back(fmt::format("the spool has no room: {}",
                                    spooled.problem().value_or("events come faster than the disk "
                                                               "takes them")));
    }
    return reasons;
  };
  opened.fatal = [] { return std::nullopt; };  // its relay opens Kafka's client anew
  opened.refresh_metrics = [gauges, &spooled] { gauges->set(spooled.counts()); };
  opened.sink = std::move(sink.value());
  return opened;
}

}  // namespace

core::Result<OpenedSink> open_sink(const SinkOptions& options, EventSink::OnOutcome on_outcome,
                                   Registry& registry) {
  return options.level == Level::kAcked ? open_acked(options, std::move(on_outcome))
                                        : open_spooled(options, std::move(on_outcome), registry);
}

}  // namespace tally::producer::serve
