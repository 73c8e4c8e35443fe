// Opens a client over any sink: for tests, and for open() itself. Not installed.
#pragma once

#include "core/result.h"
#include "producer/event_sink.h"
#include "producer/usage_client.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>

namespace tally::producer {

// What only a spool can tell; any thread.
class SpoolView {
 public:
  virtual ~SpoolView() = default;
  [[nodiscard]] virtual SpoolAccount account() const = 0;
  // Until nothing that was kept before the call waits for the broker, or the time is over.
  virtual void drain(std::chrono::milliseconds time) = 0;
};

struct MadeSink {
  std::unique_ptr<EventSink> sink;
  std::function<std::string()> problem;        // why it is closed, and what to do; any thread
  std::unique_ptr<SpoolView> spool = nullptr;  // absent at the other levels; looks at the sink
  // Of an event with its key; what is larger is refused before it is accepted.
  std::size_t max_event_bytes = std::numeric_limits<std::size_t>::max();
};

// The sink's outcomes go to what it is given, which outlives it.
using MakeSink = std::function<core::Result<MadeSink>(EventSink::OnOutcome)>;

[[nodiscard]] Opened open_client(UsageClientOptions options, const MakeSink& make_sink);

}  // namespace tally::producer
