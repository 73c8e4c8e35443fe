// Where checked events go: to the broker (acked), or first into the spool (spooled). What the
// library and the HTTP daemon stand on.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace tally::producer {

// One message: the Kafka key (the event's id) and the structured CloudEvent, byte for byte.
struct SinkEvent {
  std::string_view key;
  std::string_view value;
  std::uint64_t tag = 0;  // comes back in the outcome
};

enum class Offered {
  kAccepted,  // exactly one outcome follows
  kFull,      // at its bound: nothing was taken, try again later
  kTooLarge,  // nothing was taken, and trying again changes nothing
  kClosed,    // broken for good: problem() says why and what to do
};

// The end of one accepted event: kept at the level of promise of the sink, or not: then a copy may
// exist all the same, now or after a crash. Valid during the call.
struct SinkOutcome {
  std::uint64_t tag = 0;
  std::string_view key;
  bool kept = false;
  std::string_view reason;  // of one not kept: a short name ("_MSG_TIMED_OUT", "disk_full")
};

// Threads: offer() from any thread; it throws nothing, and answers kFull where memory is missing.
// The outcomes come on a thread of the sink's own, one at a time; the callback must be quick and
// must not throw. Lifetime: the destructor ends what is outstanding with outcomes that are not
// kept, then stops; the callback must outlive it.
class EventSink {
 public:
  using OnOutcome = std::function<void(const SinkOutcome&)>;
  virtual ~EventSink() = default;
  [[nodiscard]] virtual Offered offer(const SinkEvent& event) = 0;
};

}  // namespace tally::producer
