// The inside of a usage client. Recording threads write into the ring; one thread of the client
// hands over from the ring to the sink, stamping sequence numbers; the sink's thread brings the
// outcomes. Included by this folder's sources only.
#pragma once

#include "producer/doorbell.h"
#include "producer/event_ring.h"
#include "producer/event_sink.h"
#include "producer/event_text.h"
#include "producer/open_client.h"
#include "producer/usage_client.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>

namespace tally::producer {

// Who waits for one event's end: told once, on a thread of the client. Its address travels through
// the sink as the event's tag, with the last bit set; a caller's own tag travels doubled.
class Waiter {
 public:
  virtual void ended(const Outcome& outcome) noexcept = 0;

 protected:
  ~Waiter() = default;
};

// The common form without its members.
[[nodiscard]] inline UsageEvent event_of(std::string_view type, std::string_view tenant,
                                         const Details& details) {
  return {.id = details.id,
          .source = details.source,
          .type = type,
          .tenant = tenant,
          .time = details.time,
          .data = {},
          .tag = details.tag};
}

struct UsageClient::Impl {
  explicit Impl(UsageClientOptions given);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Any thread.
  Receipt record(const UsageEvent& event, const std::span<const Field>* fields,
                 Waiter* waiter) noexcept;
  std::size_t flush(std::chrono::milliseconds deadline);
  std::size_t drain(std::chrono::milliseconds deadline);
  void wait_for_room(std::chrono::milliseconds deadline);
  // Each once, by the thread that opens and closes.
  void start(MadeSink sink);
  void stop();
  // Threads of the client.
  void finish(const SinkOutcome& ended_event, bool sink_had_it);

  [[nodiscard]] bool is_fork() const;
  [[nodiscard]] std::uint64_t ended() const;
  [[nodiscard]] UsageCounts counts() const;
  // Not in a fork: the lock may be held by a thread that stayed with the parent.
  [[nodiscard]] std::optional<SpoolAccount> spool_account() const;

  // Constant after construction.
  const UsageClientOptions options;
  const std::uint64_t generation;  // of the process that opened it
  const std::string stream_id;
  const Stamp stamp;

  RecordersLine recorders;
  EventRing ring;
  Doorbell bell;
  std::atomic<bool> closed{false};  // the sink is; closed_reason was written before
  std::string closed_reason;
  std::atomic<bool> stopping{false};

  // Their ends: threads of the client.
  alignas(kLineBytes) std::atomic<std::uint64_t> kept{0};
  std::atomic<std::uint64_t> failed{0};
  alignas(kLineBytes) std::atomic<std::uint64_t> dropped_full{0};
  std::atomic<std::uint64_t> invalid{0};
  std::atomic<std::uint64_t> refused_closed{0};

  mutable std::mutex mutex;
  std::map<std::string, std::uint64_t, std::less<>> failed_by_reason;  // guarded by mutex
  std::uint64_t failed_unnamed = 0;  // guarded by mutex: no memory for another reason
  std::mutex callback_mutex;         // one callback at a time
  std::mutex change_mutex;
  std::condition_variable changed;  // something ended or was handed over
  std::atomic<int> waiting{0};      // threads that wait for that
  std::uint64_t sequence = 0;       // the handing thread's: of the last event handed over
  mutable std::mutex spool_mutex;   // guards the end of made.spool, and what it said last
  std::optional<SpoolAccount> last_spool_account;
  MadeSink made;  // its thread calls finish() until it is gone
  std::thread handing;

 private:
  Receipt refuse(Receipt receipt, Recorded recorded, std::string_view reason);
  [[nodiscard]] Problem measure(EventText& text, const UsageEvent& event, std::string_view id,
                                std::chrono::system_clock::time_point now,
                                const std::span<const Field>* fields) const;
  // Claims a place for one more event, or false at the bound.
  [[nodiscard]] bool claim();
  [[nodiscard]] bool enqueue(const EventText& text, std::string_view id, std::uint64_t tag);

  // The handing thread.
  void hand_over();
  bool hand_over_all();  // whether there was anything
  void offer_until_taken(SlotHeader& slot, std::string_view value);
  void lose(SlotHeader& slot, std::string_view reason);
  void close_for_good();
  // The handing thread, and who stops the client when that has ended.
  void give_up_queued();
  void look_last_at_spool() noexcept;
  void count_failed(std::string_view reason) noexcept;  // with the mutex
  void tell_of_missing() const noexcept;

  void notify();
  template <class Reached>
  void wait(std::chrono::milliseconds deadline, const Reached& reached);
};

}  // namespace tally::producer
