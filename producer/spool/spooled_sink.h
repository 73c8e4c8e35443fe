// The sink of level `spooled`: an event is kept once it is fsynced in the local spool, and a relay
// takes it from there to the broker, now or after an outage, a kill, a restart.
//
//   auto sink = SpooledSink::open({.folder = "/var/lib/app/spool", .kafka = {{"bootstrap.servers",
//                                  "kafka:9092"}}, .on_outcome = told});
//
// Threads and lifetime: as EventSink and Spool; the destructor keeps what was accepted, and leaves
// what is not delivered to whoever opens the folder next (drain() before, to wait for the broker).
#pragma once

#include "producer/event_sink.h"
#include "producer/spool/relay.h"
#include "producer/spool/spool.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace tally::producer::spool {

struct SpooledSinkOptions {
  std::filesystem::path folder = {};  // on a local disk; this sink's alone
  // Of all segments, reserved room included. Beside them lie the position (8 KiB) and what was
  // refused (kMaxSpoolRefusedBytes).
  std::uint64_t max_bytes = core::kSpoolBytes;
  std::uint64_t segment_bytes = core::kSpoolSegmentBytes;
  std::string topic = "usage.events";
  std::string content_type = "application/cloudevents+json";
  runtime::kafka::ClientSettings kafka = {};  // librdkafka's names
  EventSink::OnOutcome on_outcome = {};       // may be empty: then only counted
};

// One account: at any moment
//   found + spooled = delivered + refused + lost + torn + waiting.
struct SpooledCounts {
  SpoolCounts spool;
  RelayCounts relay;
  std::uint64_t found = 0;    // waiting when the folder was opened
  std::uint64_t spooled = 0;  // fsynced since; their outcomes may be on their way
  std::uint64_t waiting_records = 0;
  std::uint64_t waiting_bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t cut_bytes = 0;  // behind the last whole record when the folder was opened
  // Since it was offered, by the wall clock; 0 when nothing waits or the clock went back.
  std::uint64_t oldest_waiting_s = 0;
};

class SpooledSink final : public EventSink {
 public:
  // Errors: kConflict (another process owns the folder; the sentence names it), kInvalid (a
  // setting, another version of the format), kUnavailable (the disk). Does not wait for the broker.
  [[nodiscard]] static core::Result<std::unique_ptr<SpooledSink>> open(SpooledSinkOptions options);
  explicit SpooledSink(std::unique_ptr<Spool> spool);

  [[nodiscard]] Offered offer(const SinkEvent& event) override { return spool_->offer(event); }
  // Until everything accepted has its outcome, or the time is over: whether it has.
  [[nodiscard]] bool flush(std::chrono::milliseconds time) { return spool_->flush(time); }
  // Until nothing that was kept waits for the broker, or the time is over: whether nothing does.
  // What was refused (set aside) or lost waits no more.
  [[nodiscard]] bool drain(std::chrono::milliseconds time) { return relay_->drain(time); }

  [[nodiscard]] SpooledCounts counts() const;
  // What stands in the way now, of keeping or of delivering; nullopt: nothing does.
  [[nodiscard]] std::optional<std::string> problem() const;

 private:
  std::unique_ptr<Spool> spool_;
  StoreFigures at_open_;
  std::unique_ptr<Relay> relay_;  // last: it reads from the spool's store
};

}  // namespace tally::producer::spool
