// The requests that wait for their events' ends. Each has a slot; an event's tag in the sink is its
// slot, which of the slot's requests it is of, and its place in the body, so an end costs one
// look-up and one short lock, and no memory. An end that comes twice, or after its request was
// answered, is counted as stray and ends nothing. What waits is bounded in requests, events and
// bytes, and by what one key may have.
//
// Threads: begin(), missed() and offered() of one request by the thread that has it; ended() by the
// sink's. Whoever ends the last event answers, on its own thread. Lifetime: outlives the sink.
#pragma once

#include "producer/event_sink.h"
#include "producer/serve/keys.h"
#include "producer/serve/probe.h"
#include "producer/serve/reply.h"
#include "runtime/http/http.h"

#include <algorithm>
#include <array>
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
  std::uint64_t events_of_a_key = 0;  // 0: a key has no bounds of its own
  // Where a key has bounds.
  [[nodiscard]] std::size_t requests_of_a_key() const {
    return std::max<std::size_t>(1, requests / 2);
  }
};

// What became of an event. Of one that is not kept no copy exists; of one that is unknown the
// broker was asked and did not answer, or it may stand on a disk whose fsync failed.
enum class Fate { kKept, kNotKept, kUnknown };

class InFlight {
 public:
  // A request that waits, and the tag of its first event.
  using Ticket = std::uint64_t;
  enum class Began { kYes, kFull, kKeyFull };

  InFlight(const InFlightLimits& limits, Probe& probe);

  struct Load {
    std::uint64_t events = 0;
    std::uint64_t bytes = 0;
  };
  // Takes room for the whole request, or nothing. `reply` is taken where the answer is kYes.
  [[nodiscard]] Began begin(Load load, const SenderPtr& sender, Reply& reply, Ticket& ticket);
  [[nodiscard]] static std::uint64_t tag(Ticket ticket, std::size_t event) {
    return ticket | event;
  }
  // This and what follows need no memory; where there is none for what an answer of 503 says, it
  // goes without.
  // An event that has ended without the sink.
  void missed(Ticket ticket, std::size_t event, Fate fate, std::string_view reason) noexcept;
  // Every event was offered or missed: the request may be answered from now on.
  void offered(Ticket ticket) noexcept;
  // One that the sink took has ended.
  void ended(const SinkOutcome& outcome) noexcept;

  [[nodiscard]] std::uint64_t events() const { return events_.load(); }
  [[nodiscard]] std::size_t requests() const;

 private:
  // Why events were lost; of more reasons than there is room for, "other".
  struct Reason {
    std::array<char, 40> text{};
    std::size_t bytes = 0;
    std::uint64_t events = 0;
    [[nodiscard]] std::string_view name() const { return {text.data(), bytes}; }
  };
  static constexpr std::size_t kReasons = 4;

  // Guarded by mutex while `left` is not 0; then its finisher's, until it is free.
  struct Slot {
    std::mutex mutex;
    std::uint64_t generation = 0;  // of the request that it has, or had
    std::uint64_t left = 0;        // events, and one for the thread that offers them
    Load load;
    SenderPtr sender;
    Reply reply;
    std::chrono::steady_clock::time_point begun;
    // A bit of each event: first of all whether it has ended, then whether it is not kept, then
    // whether that is unknown.
    std::vector<std::uint64_t> bits;
    std::array<Reason, kReasons> reasons;

    [[nodiscard]] std::size_t words() const { return (load.events + 63) / 64; }
    [[nodiscard]] bool bit(std::size_t row, std::size_t event) const {
      return (bits[row * words() + event / 64] >> (event % 64) & 1U) != 0;
    }
    void set_bit(std::size_t row, std::size_t event) {
      bits[row * words() + event / 64] |= std::uint64_t{1} << (event % 64);
    }
    void count(std::string_view reason);
  };

  [[nodiscard]] bool occupy(Slot& slot, Load load);
  void end(std::uint64_t tag, Fate fate, std::string_view reason) noexcept;
  void finish(std::size_t index) noexcept;
  [[nodiscard]] static runtime::http::Response answer(const Slot& done, std::uint64_t unknown,
                                                      std::uint64_t lost);

  const InFlightLimits limits_;
  Probe& probe_;
  std::atomic<std::uint64_t> events_{0};
  std::atomic<std::uint64_t> bytes_{0};
  const std::unique_ptr<Slot[]> slots_;
  mutable std::mutex mutex_;
  std::vector<std::uint32_t> free_;  // guarded by mutex_
};

}  // namespace tally::producer::serve
