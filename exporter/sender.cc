#include "exporter/sender.h"

#include "core/check.h"
#include "exporter/identifier.h"
#include "runtime/lifecycle/failpoint.h"

#include <algorithm>
#include <optional>

namespace tally::exporter {
namespace {

using core::Timestamp;
using runtime::lifecycle::failpoint;

Timestamp plus(Timestamp time, std::chrono::microseconds more) {
  return Timestamp::from_micros(time.micros() + more.count());
}

std::string_view outcome_name(const Decision& decision, const ApiAnswer& answer) {
  switch (decision.verdict) {
    case Verdict::kDelivered:
      return "delivered";
    case Verdict::kDuplicate:
      return "duplicate";
    case Verdict::kRejected:
      return "rejected";
    case Verdict::kHeld:
      return "held";
    case Verdict::kUncertain:
      return "uncertain";
    case Verdict::kStop:
      return "stopped";
    case Verdict::kRetry:
      break;
  }
  if (decision.maybe_applied) return "unknown";
  return answer.reply == Reply::kNotSent ? "not_sent" : "retry";
}

}  // namespace

std::string_view to_string(RowState state) {
  switch (state) {
    case RowState::kPlanned:
      return "planned";
    case RowState::kSending:
      return "sending";
    case RowState::kDelivered:
      return "delivered";
    case RowState::kRejected:
      return "rejected";
    case RowState::kUncertain:
      return "uncertain";
    case RowState::kHeld:
      return "held";
  }
  TALLY_CHECK(false, "state {}", static_cast<int>(state));
  return {};
}

void StopSending::stop(std::string reason) {
  const std::lock_guard lock(mutex_);
  if (!stopped_.load()) reason_ = std::move(reason);
  stopped_.store(true, std::memory_order_release);
}

std::string StopSending::reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

void SendCounts::add(const SendCounts& other) {
  delivered += other.delivered;
  duplicates += other.duplicates;
  rejected += other.rejected;
  uncertain += other.uncertain;
  held += other.held;
  left += other.left;
  attempts += other.attempts;
  retries += other.retries;
}

struct Sender::Flight {
  OutboxRow row;
  runtime::retry::Backoff backoff;
  bool maybe_applied;  // by any send so far: its outcome is unknown, not negative
  bool done = false;
  Timestamp next_try;
  std::optional<Timestamp> give_up_at;
};

Sender::Sender(MeterEventApi& api, DeliveryLog& log, SenderClock& clock, StopSending& stop,
               const SenderOptions& options, AnswerObserver observer)
    : api_(api),
      log_(log),
      clock_(clock),
      stop_(stop),
      options_(options),
      observer_(std::move(observer)),
      pause_backoff_(options.first_backoff, options.longest_backoff, options.seed) {}

SendCounts Sender::run(std::vector<OutboxRow> rows) {
  counts_ = {};
  report_ = {};
  failures_in_a_row_ = 0;
  last_success_ = clock_.now();
  paused_until_ = last_success_;
  Flights flights;
  flights.reserve(rows.size());
  for (OutboxRow& row : rows) {
    TALLY_CHECK(row.state == RowState::kPlanned || row.state == RowState::kSending);
    const bool unknown = row.state == RowState::kSending;
    const auto seed = options_.seed + static_cast<std::uint64_t>(row.id);
    flights.push_back({std::move(row),
                       {options_.first_backoff, options_.longest_backoff, seed},
                       unknown,
                       false,
                       last_success_,
                       {}});
  }

  while (!must_end()) {
    const std::vector<Flight*> group = next_group(flights);
    if (!group.empty()) {
      commit(group);
      send_group(group);
    } else {
      if (!report_.empty()) commit({});
      if (!wait_for_next(flights)) break;
    }
  }
  for (Flight& flight : flights) {
    if (!flight.done) leave(flight, stop_.reason());
  }
  if (!report_.empty()) commit({});
  return counts_;
}

bool Sender::must_end() {
  if (stop_.stopped() || !clock_.wait(std::chrono::milliseconds(0))) return true;
  // With the other side away, rows that were never tried must not wait for a turn of their own.
  return failures_in_a_row_ >= options_.failures_before_pause &&
         clock_.now() >= plus(last_success_, std::chrono::seconds(options_.retry_window_seconds));
}

std::vector<Sender::Flight*> Sender::next_group(Flights& flights) {
  const Timestamp now = clock_.now();
  std::vector<Flight*> group;
  if (now < paused_until_) return group;
  // A worker that only fails probes with one row at a time.
  const std::size_t most =
      failures_in_a_row_ >= options_.failures_before_pause ? 1 : options_.group_rows;
  for (Flight& flight : flights) {
    if (flight.done || flight.next_try > now) continue;
    if (group.size() == most) break;
    const auto& first = flight.row.first_sent_at;
    if (flight.maybe_applied && first.has_value() &&
        now > plus(*first, std::chrono::seconds(kBlindResendSeconds))) {
      finish(flight, RowState::kUncertain,
             "first sent more than 23 h ago and never clearly answered: Stripe may have forgotten "
             "the identifier, so it is not sent again");
      continue;
    }
    group.push_back(&flight);
  }
  return group;
}

void Sender::commit(const std::vector<Flight*>& group) {
  std::vector<OutboxRow*> rows;
  rows.reserve(group.size());
  for (Flight* flight : group) rows.push_back(&flight->row);
  const Timestamp now = clock_.now();
  log_.commit(report_, rows, now);
  marked_at_ = now;
  const bool delivered = std::any_of(
      report_.transitions.begin(), report_.transitions.end(),
      [](const Transition& transition) { return transition.state == RowState::kDelivered; });
  report_ = {};
  for (OutboxRow* row : rows) {
    row->state = RowState::kSending;
    if (!row->first_sent_at.has_value()) row->first_sent_at = now;
    ++row->attempts;
  }
  if (delivered) failpoint("exporter.after_delivered");
}

void Sender::send_group(const std::vector<Flight*>& group) {
  for (Flight* flight : group) {
    keep_pace();
    if (must_end() || clock_.now() < paused_until_) return;
    // Nothing may come between this look at the clock and the send.
    if (clock_.now() > plus(marked_at_, std::chrono::seconds(kMarkedForSeconds))) return;
    send_one(*flight);
  }
}

void Sender::keep_pace() {
  const std::int64_t left_us = plus(started_at_, pace_.gap()).micros() - clock_.now().micros();
  if (left_us > 0) (void)clock_.wait(std::chrono::milliseconds(left_us / 1000 + 1));
}

void Sender::send_one(Flight& flight) {
  const OutboxRow& row = flight.row;
  TALLY_CHECK(row.state == RowState::kSending && row.first_sent_at.has_value(),
              "row {} must be committed as sending before it is sent", row.id);
  const Timestamp started = clock_.now();
  started_at_ = started;
  if (!flight.give_up_at.has_value()) {
    flight.give_up_at = plus(started, std::chrono::seconds(options_.retry_window_seconds));
  } else {
    ++counts_.retries;
  }
  ++counts_.attempts;
  failpoint("exporter.before_send");
  const ApiAnswer answer =
      api_.send({row.event_name, row.stripe_customer, row.value, row.event_time.seconds(),
                 row.identifier, row.idempotency_key});
  failpoint("exporter.after_send");
  const Decision decision = decide(answer, row.identifier,
                                   flight.maybe_applied ? Before::kUnknown : Before::kNoneArrived);
  if (observer_) {
    observer_(decision, std::chrono::microseconds(clock_.now().micros() - started.micros()));
  }
  note_attempt(flight, decision, answer, started);
  if (answer.status == 429 && !answer.rate_limited_reason.empty()) {
    pace_.refused();
  } else if (answer.reply == Reply::kAnswered) {
    pace_.passed();
  }
  consider_pause(decision);
  switch (decision.verdict) {
    case Verdict::kDelivered:
      return finish(flight, RowState::kDelivered, {});
    case Verdict::kDuplicate:
      ++counts_.duplicates;
      return finish(flight, RowState::kDelivered, "Stripe knew the identifier already");
    case Verdict::kRejected:
      return finish(flight, RowState::kRejected, decision.reason);
    case Verdict::kHeld:
      return finish(flight, RowState::kHeld, decision.reason);
    case Verdict::kUncertain:
      return finish(flight, RowState::kUncertain, decision.reason);
    case Verdict::kStop:
      return stop_.stop(decision.reason);
    case Verdict::kRetry:
      return after_retry(flight, decision);
  }
}

void Sender::note_attempt(const Flight& flight, const Decision& decision, const ApiAnswer& answer,
                          Timestamp started) {
  report_.attempts.push_back({flight.row.id, flight.row.attempts, started,
                              outcome_name(decision, answer), answer.status, answer.request_id,
                              decision.reason});
}

void Sender::after_retry(Flight& flight, const Decision& decision) {
  flight.maybe_applied = flight.maybe_applied || decision.maybe_applied;
  const Timestamp now = clock_.now();
  std::chrono::microseconds delay = flight.backoff.next();
  if (decision.wait_seconds.has_value()) {
    delay =
        std::max<std::chrono::microseconds>(delay, std::chrono::seconds(*decision.wait_seconds));
  }
  if (decision.new_key) {
    // Stripe replays a stored 500 for ever under the old key; the identifier keeps this safe.
    OutboxRow& row = flight.row;
    row.idempotency_key = make_idempotency_key(row.identifier, ++row.key_number);
    report_.transitions.push_back({row.id, RowState::kSending, decision.reason, now, row.key_number,
                                   row.idempotency_key, row.attempts});
  }
  flight.next_try = plus(now, delay);
  if (decision.next_cycle || flight.next_try > *flight.give_up_at) leave(flight, decision.reason);
}

void Sender::consider_pause(const Decision& decision) {
  if (decision.verdict != Verdict::kRetry) {
    failures_in_a_row_ = 0;
    last_success_ = clock_.now();
    pause_backoff_.reset();
    return;
  }
  ++failures_in_a_row_;
  std::chrono::microseconds pause{0};
  if (failures_in_a_row_ >= options_.failures_before_pause) pause = pause_backoff_.next();
  if (decision.not_this_row && decision.wait_seconds.has_value()) {
    const std::int64_t most = options_.retry_window_seconds;
    pause = std::max<std::chrono::microseconds>(
        pause, std::chrono::seconds(std::min(*decision.wait_seconds, most)));
  }
  paused_until_ = std::max(paused_until_, plus(clock_.now(), pause));
}

void Sender::finish(Flight& flight, RowState state, const std::string& reason) {
  flight.done = true;
  report_.transitions.push_back({flight.row.id, state, reason, clock_.now(), flight.row.key_number,
                                 flight.row.idempotency_key, flight.row.attempts});
  if (state == RowState::kDelivered) ++counts_.delivered;
  if (state == RowState::kRejected) ++counts_.rejected;
  if (state == RowState::kUncertain) ++counts_.uncertain;
  if (state == RowState::kHeld) ++counts_.held;
}

void Sender::leave(Flight& flight, const std::string& reason) {
  flight.done = true;
  ++counts_.left;
  if (flight.row.state != RowState::kSending) return;  // as it was
  const RowState state = flight.maybe_applied ? RowState::kSending : RowState::kPlanned;
  report_.transitions.push_back({flight.row.id, state, reason, clock_.now(), flight.row.key_number,
                                 flight.row.idempotency_key, flight.row.attempts});
}

bool Sender::wait_for_next(const Flights& flights) {
  std::optional<Timestamp> next;
  for (const Flight& flight : flights) {
    if (!flight.done && (!next.has_value() || flight.next_try < *next)) next = flight.next_try;
  }
  if (!next.has_value()) return false;
  const std::int64_t until = std::max(next->micros(), paused_until_.micros());
  const std::int64_t delay_us = std::max<std::int64_t>(0, until - clock_.now().micros());
  return clock_.wait(std::chrono::milliseconds(delay_us / 1000 + 1));
}

}  // namespace tally::exporter
