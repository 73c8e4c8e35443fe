// The sink of the daemon's level, and what is to be told of it.
#pragma once

#include "core/result.h"
#include "producer/event_sink.h"
#include "runtime/kafka/producer.h"
#include "runtime/metrics/metrics.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::producer::serve {

enum class Level { kAcked, kSpooled };

struct SinkOptions {
  Level level = Level::kAcked;
  std::string topic = "usage.events";
  runtime::kafka::ClientSettings kafka = {};  // of who sends
  runtime::kafka::ClientSettings admin = {};  // of who asks whether the topic is there
  std::string spool_folder = {};
  std::uint64_t spool_bytes = 0;
};

// Any thread, as long as the sink lives.
struct OpenedSink {
  std::unique_ptr<EventSink> sink;
  // Why events cannot be kept now, each a sentence; look() every few hundred milliseconds keeps it
  // true.
  std::function<std::vector<std::string>()> reasons;
  std::function<void()> look;
  // Why no event will ever be kept again: the daemon is to end, and to be started anew.
  std::function<std::optional<std::string>()> fatal;
  std::function<void()> refresh_metrics;
};

// Does not wait for the broker. Errors: as AckedSink's and SpooledSink's.
[[nodiscard]] core::Result<OpenedSink> open_sink(const SinkOptions& options,
                                                 EventSink::OnOutcome on_outcome,
                                                 runtime::metrics::Registry& registry);

}  // namespace tally::producer::serve
