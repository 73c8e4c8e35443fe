// The sender: takes the open rows through their states, with many requests under way at once, but
// one at a time of a customer, as Stripe takes no more of a customer and meter. One thread.
//
//   planned --mark_sending(), committed--> sending --send--> delivered | rejected | uncertain |
//   held
//      ^---- known not to have arrived ------'  '---- unknown: again, with the same identifier
//
// Rows are marked in groups: one commit stores the outcomes so far and marks the next group, so a
// commit serves many requests and `sending` is still committed before each request.
#pragma once

#include "core/timestamp.h"
#include "exporter/delivery_rules.h"
#include "exporter/lanes.h"
#include "exporter/meter_event_api.h"
#include "exporter/outbox_row.h"
#include "exporter/send_pace.h"
#include "runtime/retry/backoff.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tally::exporter {

// The seam to the outbox table, declared by its user. Throws when the database is away. A call is
// one transaction: it has happened wholly when it returns.
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

// A row is sent at most this long after the commit that marked it; later it is marked again. So
// last_sent_at bounds the send, also of a process that was stopped in between.
inline constexpr std::int64_t kMarkedForSeconds = 600;
static_assert(kBlindResendSeconds + kMarkedForSeconds < 24 * 3'600, "Stripe forgets after 24 h");

struct SenderOptions {
  std::size_t group_rows = 256;
  std::optional<core::Timestamp> until;    // nothing is sent from then on; nullopt: no end
  std::int64_t retry_window_seconds = 60;  // then a row is left for the next cycle
  std::chrono::milliseconds first_backoff{500};
  std::chrono::milliseconds longest_backoff{8'000};
  int failures_before_pause = 5;  // in a row, of any rows: then all of it pauses
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
  std::string stopped_because;  // Stripe's answer to one row was about all of them; "": it was not
  void add(const SendCounts& other);
};

class Sender {
 public:
  // Called after each answer with the time it took.
  using AnswerObserver = std::function<void(const Decision&, std::chrono::microseconds)>;

  // The lanes are the sender's own while run() runs, and nothing is under way before and after.
  Sender(Lanes& lanes, SendPace& pace, DeliveryLog& log, SenderClock& clock,
         const SenderOptions& options, AnswerObserver observer = {});
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Sends until every row is final or left for the next cycle. Throws what DeliveryLog throws: the
  // rows then stay as they were committed and are taken up again, with the same identifiers.
  [[nodiscard]] SendCounts run(std::vector<OutboxRow> rows);

 private:
  struct Flight;
  void begin(std::vector<OutboxRow> rows);
  void send_all();
  [[nodiscard]] bool must_end();
  // Rows that may be sent now.
  [[nodiscard]] std::vector<Flight*> next_group(core::Timestamp now);
  void mark_more();
  void commit(const std::vector<Flight*>& group, core::Timestamp now);
  // Sends what may be sent; how long until a pause or the pace lets more through.
  [[nodiscard]] std::chrono::milliseconds start_more();
  [[nodiscard]] bool is_failing() const;
  [[nodiscard]] std::size_t lanes_to_use() const;
  [[nodiscard]] core::Timestamp not_after(const Flight& flight) const;
  void look_at_clock();
  void start(Flight& flight, core::Timestamp now);
  void receive(std::chrono::milliseconds wait);
  void take(Flight& flight, const ApiAnswer& answer);
  void note_attempt(const Flight& flight, const Decision& decision, const ApiAnswer& answer);
  void note_transition(const OutboxRow& row, RowState state, const std::string& reason);
  void after_retry(Flight& flight, const Decision& decision);
  void consider_pause(const Flight& flight, const Decision& decision);
  void finish(Flight& flight, RowState state, const std::string& reason);
  void leave(Flight& flight, const std::string& reason);
  [[nodiscard]] bool wait_for_next();

  Lanes& lanes_;
  SendPace& pace_;
  DeliveryLog& log_;
  SenderClock& clock_;
  SenderOptions options_;
  AnswerObserver observer_;
  runtime::retry::Backoff pause_backoff_;
  core::Timestamp looked_at_;  // the clock, last
  core::Timestamp paused_at_;  // when the last pause began
  core::Timestamp paused_until_;
  int failures_in_a_row_ = 0;
  core::Timestamp failing_since_;      // of the first of them
  core::Timestamp last_failed_start_;  // when the latest of those that failed was started
  std::vector<Flight> flights_;
  std::deque<Flight*> marked_;       // committed as sending, not yet sent
  std::set<std::string> under_way_;  // customers with a request under way
  Report report_;
  SendCounts counts_;
};

}  // namespace tally::exporter
