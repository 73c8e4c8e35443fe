// The sender: takes the open rows of one shard of customers through their states. One worker thread
// each; it shares nothing but the stop flag with the others.
//
//   planned --mark_sending(), committed--> sending --send--> delivered | rejected | uncertain |
//   held
//      ^---- known not to have arrived ------'  '---- unknown: again, with the same identifier
//
// Rows go in groups: one commit stores the outcomes of a group and marks the next one, so a commit
// serves many requests and `sending` is still committed before each request.
#pragma once

#include "core/timestamp.h"
#include "exporter/delivery_rules.h"
#include "exporter/meter_event_api.h"
#include "exporter/outbox_row.h"
#include "exporter/send_pace.h"
#include "runtime/retry/backoff.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace tally::exporter {

// The seam to the outbox table, declared by its user. One worker's own; throws when the database is
// away. A call is one transaction: it has happened wholly when it returns.
class DeliveryLog {
 public:
  virtual ~DeliveryLog() = default;
  // Stores `report`, then marks `rows` as sending: first_sent_at = `now` where it was not set,
  // last_sent_at = `now`, and one attempt more. Throws, and nothing has happened, when a row is not
  // in the state or not at the attempt that the caller knows: another sender, or a person, had it.
  // The rows in memory are left to the caller.
  virtual void commit(const Report& report, const std::vector<OutboxRow*>& rows,
                      core::Timestamp now) = 0;
};

// Time as the sender sees it; simulated in tests.
class SenderClock {
 public:
  virtual ~SenderClock() = default;
  virtual core::Timestamp now() = 0;
  // Waits up to `time`; false when the process should stop.
  virtual bool wait(std::chrono::milliseconds time) = 0;
};

// Shared by all workers of a cycle. After stop() nothing more is sent. Any thread.
class StopSending {
 public:
  void stop(std::string reason);
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  [[nodiscard]] std::string reason() const;

 private:
  mutable std::mutex mutex_;
  std::string reason_;
  std::atomic<bool> stopped_{false};
};

// A row is sent at most this long after the commit that marked it; later it is marked again. So
// last_sent_at bounds the send, also of a process that was stopped in between.
inline constexpr std::int64_t kMarkedForSeconds = 600;
static_assert(kBlindResendSeconds + kMarkedForSeconds < 24 * 3'600, "Stripe forgets after 24 h");

struct SenderOptions {
  std::size_t group_rows = 64;
  std::int64_t retry_window_seconds = 60;  // then a row is left for the next cycle
  std::chrono::milliseconds first_backoff{500};
  std::chrono::milliseconds longest_backoff{8'000};
  int failures_before_pause = 5;  // in a row, of any rows: then the worker pauses
  std::uint64_t seed = 1;
};

struct SendCounts {
  std::size_t delivered = 0;
  std::size_t duplicates = 0;  // of delivered: Stripe knew the identifier
  std::size_t rejected = 0;
  std::size_t uncertain = 0;
  std::size_t held = 0;
  std::size_t left = 0;  // still open
  std::size_t attempts = 0;
  std::size_t retries = 0;
  void add(const SendCounts& other);
};

class Sender {
 public:
  // Called after each answer with the time it took.
  using AnswerObserver = std::function<void(const Decision&, std::chrono::microseconds)>;

  Sender(MeterEventApi& api, DeliveryLog& log, SenderClock& clock, StopSending& stop,
         const SenderOptions& options, AnswerObserver observer = {});

  // Sends until every row is final or left for the next cycle. Throws what DeliveryLog throws: the
  // rows then stay as they were committed and are taken up again, with the same identifiers.
  [[nodiscard]] SendCounts run(std::vector<OutboxRow> rows);

 private:
  struct Flight;
  using Flights = std::vector<Flight>;
  [[nodiscard]] std::vector<Flight*> next_group(Flights& flights);
  void commit(const std::vector<Flight*>& group);
  void send_group(const std::vector<Flight*>& group);
  void keep_pace();
  void send_one(Flight& flight);
  void note_attempt(const Flight& flight, const Decision& decision, const ApiAnswer& answer,
                    core::Timestamp started);
  void after_retry(Flight& flight, const Decision& decision);
  void consider_pause(const Decision& decision);
  void finish(Flight& flight, RowState state, const std::string& reason);
  void leave(Flight& flight, const std::string& reason);
  [[nodiscard]] bool must_end();
  [[nodiscard]] bool wait_for_next(const Flights& flights);

  MeterEventApi& api_;
  DeliveryLog& log_;
  SenderClock& clock_;
  StopSending& stop_;
  SenderOptions options_;
  AnswerObserver observer_;
  runtime::retry::Backoff pause_backoff_;
  core::Timestamp paused_until_;
  core::Timestamp last_success_;
  SendPace pace_;
  core::Timestamp started_at_;  // the last send
  core::Timestamp marked_at_;   // the group that is being sent
  int failures_in_a_row_ = 0;
  Report report_;
  SendCounts counts_;
};

}  // namespace tally::exporter
