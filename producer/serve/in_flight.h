// The requests that wait for their events' ends. Each has a slot; an event's tag in the sink is its
// slot and its place in the body, so an end costs one look-up and one decrement. What waits is
// bounded in requests, events and bytes, and by what one key may have.
//
// Threads: begin(), missed() and offered() of one slot by the thread that has the request; ended()
// by the sink's. Whoever ends the last event answers, on its own thread. Lifetime: outlives the
// sink.
#pragma once

#include "producer/event_sink.h"
#include "producer/serve/keys.h"
#include "producer/serve/probe.h"
#include "producer/serve/reply.h"
#include "runtime/http/http.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::serve {

struct InFlightLimits {
  std::size_t requests = 4'096;
  std::uint64_t events = 200'000;
  std::uint64_t bytes = 256ULL * 1024 * 1024;
  // And half of the requests; 0: a key has no bounds of its own.
  std::uint64_t events_of_a_key = 0;
};

class InFlight {
 public:
  using SlotId = std::uint32_t;
  enum class Began { kYes, kFull, kKeyFull };

  InFlight(const InFlightLimits& limits, Probe& probe);

  struct Load {
    std::uint64_t events = 0;
    std::uint64_t bytes = 0;
  };
  // Takes room for the whole request, or nothing. `reply` is taken where the answer is kYes.
  [[nodiscard]] Began begin(Load load, const SenderPtr& sender, Reply& reply, SlotId& slot);
  [[nodiscard]] static std::uint64_t tag(SlotId slot, std::size_t event) {
    return std::uint64_t{slot} << 32U | event;
  }
  // An event that the sink did not take: it has ended.
  void missed(SlotId slot, std::size_t event, std::string_view reason);
  // Every event was offered or missed: the request may be answered from now on.
  void offered(SlotId slot);
  // One that the sink took has ended.
  void ended(const SinkOutcome& outcome);

  [[nodiscard]] std::uint64_t events() const { return events_.load(); }
  [[nodiscard]] std::size_t requests() const;

 private:
  struct Miss {
    std::uint32_t event = 0;
    bool unknown = false;
    std::string reason;
  };
  struct Slot {
    std::atomic<std::uint64_t> left{0};  // events, and one for the thread that offers them
    Load load;
    SenderPtr sender;
    Reply reply;
    std::chrono::steady_clock::time_point begun;
    std::mutex mutex;
    std::vector<Miss> misses;  // guarded by mutex
  };

  void count_down(SlotId slot);
  void finish(SlotId slot);
  [[nodiscard]] static runtime::http::Response answer(const Load& load, std::vector<Miss>& misses);

  const InFlightLimits limits_;
  Probe& probe_;
  std::atomic<std::uint64_t> events_{0};
  std::atomic<std::uint64_t> bytes_{0};
  const std::unique_ptr<Slot[]> slots_;
  mutable std::mutex mutex_;
  std::vector<SlotId> free_;  // guarded by mutex_
};

// Whether an event that ended so may be kept all the same: the broker was asked and did not answer,
// or it may stand on a disk whose fsync failed.
[[nodiscard]] bool fate_is_unknown(std::string_view reason);

}  // namespace tally::producer::serve
