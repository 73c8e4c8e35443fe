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

constexpr std::chrono::milliseconds kLongLook{1'000};  // for an answer, while nothing can be sent

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

void SendCounts::add(const SendCounts& other) {
  delivered += other.delivered;
  duplicates += other.duplicates;
  rejected += other.rejected;
  uncertain += other.uncertain;
  held += other.held;
  left += other.left;
  attempts += other.attempts;
  retries += other.retries;
  if (stopped_because.empty()) stopped_because = other.stopped_because;
}

struct Sender::Flight {
  enum class At : std::uint8_t { kWaiting, kMarked, kUnderWay, kDone };
  OutboxRow row;
  runtime::retry::Backoff backoff;
  bool maybe_applied;  // by any send so far: its outcome is unknown, not negative
  At at = At::kWaiting;
  Timestamp next_try;
  Timestamp marked_at;
  Timestamp started_at;
  std::optional<Timestamp> give_up_at;
};

Sender::Sender(Lanes& lanes, SendPace& pace, DeliveryLog& log, SenderClock& clock,
               const SenderOptions& options, AnswerObserver observer)
    : lanes_(lanes),
      pace_(pace),
      log_(log),
      clock_(clock),
      options_(options),
      observer_(std::move(observer)),
      pause_backoff_(options.first_backoff, options.longest_backoff, options.seed) {
  TALLY_CHECK(lanes.count() > 0 && options.group_rows > 0);
}

Sender::~Sender() = default;

SendCounts Sender::run(std::vector<OutboxRow> rows) {
  begin(std::move(rows));
  try {
    send_all();
  } catch (const std::exception&) {
    // Their rows stay as committed, as if the process had been killed here.
    while (!under_way_.empty()) {
      if (const auto answered = lanes_.next(kLongLook))
        under_way_.erase(flights_[answered->tag].row.stripe_customer);
    }
    throw;
  }
  return counts_;
}

void Sender::begin(std::vector<OutboxRow> rows) {
  counts_ = {};
  report_ = {};
  failures_in_a_row_ = 0;
  marked_.clear();
  looked_at_ = paused_at_ = paused_until_ = clock_.now();
  flights_.clear();
  flights_.reserve(rows.size());
  for (OutboxRow& row : rows) {
    TALLY_CHECK(row.state == RowState::kPlanned || row.state == RowState::kSending);
    const bool unknown = row.state == RowState::kSending;
    const auto seed = options_.seed + static_cast<std::uint64_t>(row.id);
    flights_.push_back({.row = std::move(row),
                        .backoff = {options_.first_backoff, options_.longest_backoff, seed},
                        .maybe_applied = unknown,
                        .next_try = looked_at_,
                        .marked_at = {},
                        .started_at = {},
                        .give_up_at = {}});
  }
}

void Sender::send_all() {
  while (!must_end()) {
    look_at_clock();
    mark_more();
    const std::chrono::milliseconds wait = start_more();
    const bool is_paused = clock_.now() < paused_until_;
    if (!under_way_.empty()) {
      receive(wait);
    } else if (!report_.empty() && (marked_.empty() || is_paused)) {
      commit({}, clock_.now());
    } else if (!marked_.empty()) {
      (void)clock_.wait(wait);
    } else if (!wait_for_next()) {
      break;
    }
  }
  while (!under_way_.empty()) receive(kLongLook);
  marked_.clear();
  for (Flight& flight : flights_) {
    if (flight.at != Flight::At::kDone) leave(flight, counts_.stopped_because);
  }
  if (!report_.empty()) commit({}, clock_.now());
}

// What was to be at a time of a clock that was set back since would stand still until then.
void Sender::look_at_clock() {
  const Timestamp now = clock_.now();
  if (now < looked_at_) {
    pace_.forget_times();
    paused_until_ = paused_at_ = now;
    for (Flight& flight : flights_) {
      flight.next_try = std::min(flight.next_try, now);
      if (flight.give_up_at.has_value())
        flight.give_up_at = plus(now, std::chrono::seconds(options_.retry_window_seconds));
    }
  }
  looked_at_ = now;
}

bool Sender::is_failing() const { return failures_in_a_row_ >= options_.failures_before_pause; }

bool Sender::must_end() {
  if (!counts_.stopped_because.empty() || !clock_.wait(std::chrono::milliseconds(0))) return true;
  // With the other side away, rows that were never tried must not wait for a turn of their own: the
  // end is when one that was started so late failed, too.
  return is_failing() &&
         last_failed_start_ >=
             plus(failing_since_, std::chrono::seconds(options_.retry_window_seconds));
}

// Who only fails probes with one row at a time.
std::size_t Sender::lanes_to_use() const {
  return is_failing() ? 1 : std::min(lanes_.count(), pace_.lanes());
}

std::vector<Sender::Flight*> Sender::next_group(Timestamp now) {
  std::vector<Flight*> group;
  if (now < paused_until_) return group;
  const std::size_t most = is_failing() ? 1 : options_.group_rows;
  for (Flight& flight : flights_) {
    if (flight.at != Flight::At::kWaiting || flight.next_try > now) continue;
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

void Sender::mark_more() {
  if (marked_.size() >= lanes_to_use()) return;
  const Timestamp now = clock_.now();  // one look: of the 23 h and of the mark
  const std::vector<Flight*> group = next_group(now);
  if (!group.empty()) commit(group, now);
}

void Sender::commit(const std::vector<Flight*>& group, Timestamp now) {
  std::vector<OutboxRow*> rows;
  rows.reserve(group.size());
  for (Flight* flight : group) rows.push_back(&flight->row);
  log_.commit(report_, rows, now);
  const bool delivered = std::any_of(
      report_.transitions.begin(), report_.transitions.end(),
      [](const Transition& transition) { return transition.state == RowState::kDelivered; });
  report_ = {};
  for (Flight* flight : group) {
    OutboxRow& row = flight->row;
    row.state = RowState::kSending;
    if (!row.first_sent_at.has_value()) row.first_sent_at = now;
    ++row.attempts;
    flight->at = Flight::At::kMarked;
    flight->marked_at = now;
    marked_.push_back(flight);
  }
  if (delivered) failpoint("exporter.after_delivered");
}

Timestamp Sender::not_after(const Flight& flight) const {
  Timestamp last = plus(flight.marked_at, std::chrono::seconds(kMarkedForSeconds));
  if (options_.until.has_value()) last = std::min(last, *options_.until);
  const auto& first = flight.row.first_sent_at;
  if (flight.maybe_applied && first.has_value())
    last =
        std::min(last, plus(*first, std::chrono::seconds(kBlindResendSeconds + kMarkedForSeconds)));
  return last;
}

std::chrono::milliseconds Sender::start_more() {
  for (auto next = marked_.begin(); next != marked_.end() && under_way_.size() < lanes_to_use();) {
    if (must_end()) break;
    const Timestamp now = clock_.now();
    const std::int64_t left_us =
        std::max(paused_until_, pace_.next_start()).micros() - now.micros();
    if (left_us > 0) return std::chrono::milliseconds(left_us / 1000 + 1);
    Flight& flight = **next;
    if (under_way_.contains(flight.row.stripe_customer)) {
      ++next;
      continue;
    }
    next = marked_.erase(next);
    start(flight, now);
  }
  return kLongLook;
}

void Sender::start(Flight& flight, Timestamp now) {
  const OutboxRow& row = flight.row;
  TALLY_CHECK(row.state == RowState::kSending && row.first_sent_at.has_value(),
              "row {} must be committed as sending before it is sent", row.id);
  pace_.started(now);
  flight.started_at = now;
  if (!flight.give_up_at.has_value()) {
    flight.give_up_at = plus(now, std::chrono::seconds(options_.retry_window_seconds));
  } else {
    ++counts_.retries;
  }
  ++counts_.attempts;
  TALLY_CHECK(under_way_.insert(row.stripe_customer).second,
              "row {}: another request of {} is under way", row.id, row.stripe_customer);
  try {
    failpoint("exporter.before_send");
    lanes_.start({static_cast<std::size_t>(&flight - flights_.data()),
                  {row.event_name, row.stripe_customer, row.value, row.event_time.seconds(),
                   row.identifier, row.idempotency_key},
                  not_after(flight)});
  } catch (const std::exception&) {
    under_way_.erase(row.stripe_customer);  // nobody will answer
    throw;
  }
  flight.at = Flight::At::kUnderWay;
}

void Sender::receive(std::chrono::milliseconds wait) {
  const auto answered = lanes_.next(wait);
  if (!answered) return;
  TALLY_CHECK(answered->tag < flights_.size(), "tag {}", answered->tag);
  Flight& flight = flights_[answered->tag];
  TALLY_CHECK(flight.at == Flight::At::kUnderWay, "row {} was not under way", flight.row.id);
  flight.at = Flight::At::kWaiting;
  under_way_.erase(flight.row.stripe_customer);
  failpoint("exporter.after_send");
  if (answered->answer.reply == Reply::kTooLate) {
    --counts_.attempts;  // it stood still, and is marked anew if there is time
    return;
  }
  take(flight, answered->answer);
}

void Sender::take(Flight& flight, const ApiAnswer& answer) {
  const Decision decision = decide(answer, flight.row.identifier,
                                   flight.maybe_applied ? Before::kUnknown : Before::kNoneArrived);
  if (observer_) {
    observer_(decision,
              std::chrono::microseconds(clock_.now().micros() - flight.started_at.micros()));
  }
  note_attempt(flight, decision, answer);
  if (answer.status == 429 && !answer.rate_limited_reason.empty()) {
    pace_.refused(answer.rate_limited_reason, flight.started_at, clock_.now());
  } else if (answer.reply == Reply::kAnswered) {
    pace_.passed(flight.started_at);
  }
  consider_pause(flight, decision);
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
      if (counts_.stopped_because.empty()) counts_.stopped_because = decision.reason;
      return;
    case Verdict::kRetry:
      return after_retry(flight, decision);
  }
}

void Sender::note_attempt(const Flight& flight, const Decision& decision, const ApiAnswer& answer) {
  report_.attempts.push_back({flight.row.id, flight.row.attempts, flight.started_at,
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
    note_transition(row, RowState::kSending, decision.reason);
  }
  flight.next_try = plus(now, delay);
  if (decision.next_cycle || flight.next_try > *flight.give_up_at) leave(flight, decision.reason);
}

void Sender::consider_pause(const Flight& flight, const Decision& decision) {
  if (decision.verdict != Verdict::kRetry) {
    failures_in_a_row_ = 0;
    pause_backoff_.reset();
    return;
  }
  if (failures_in_a_row_++ == 0) failing_since_ = last_failed_start_ = flight.started_at;
  last_failed_start_ = std::max(last_failed_start_, flight.started_at);
  std::chrono::microseconds pause{0};
  // What was under way when the pause began says nothing new.
  if (is_failing() && flight.started_at >= paused_at_) {
    pause = pause_backoff_.next();
    paused_at_ = clock_.now();
  }
  if (decision.not_this_row && decision.wait_seconds.has_value()) {
    const std::int64_t most = options_.retry_window_seconds;
    pause = std::max<std::chrono::microseconds>(
        pause, std::chrono::seconds(std::min(*decision.wait_seconds, most)));
  }
  paused_until_ = std::max(paused_until_, plus(clock_.now(), pause));
}

// One for each row in a report: what comes later holds.
void Sender::note_transition(const OutboxRow& row, RowState state, const std::string& reason) {
  Transition transition{
      row.id, state, reason, clock_.now(), row.key_number, row.idempotency_key, row.attempts};
  const auto same = std::find_if(report_.transitions.begin(), report_.transitions.end(),
                                 [&](const Transition& other) { return other.id == row.id; });
  if (same != report_.transitions.end()) {
    *same = std::move(transition);
  } else {
    report_.transitions.push_back(std::move(transition));
  }
}

void Sender::finish(Flight& flight, RowState state, const std::string& reason) {
  flight.at = Flight::At::kDone;
  note_transition(flight.row, state, reason);
  if (state == RowState::kDelivered) ++counts_.delivered;
  if (state == RowState::kRejected) ++counts_.rejected;
  if (state == RowState::kUncertain) ++counts_.uncertain;
  if (state == RowState::kHeld) ++counts_.held;
}

void Sender::leave(Flight& flight, const std::string& reason) {
  flight.at = Flight::At::kDone;
  ++counts_.left;
  if (flight.row.state != RowState::kSending) return;  // as it was
  const RowState state = flight.maybe_applied ? RowState::kSending : RowState::kPlanned;
  note_transition(flight.row, state, reason);
}

bool Sender::wait_for_next() {
  std::optional<Timestamp> next;
  for (const Flight& flight : flights_) {
    if (flight.at != Flight::At::kDone && (!next.has_value() || flight.next_try < *next))
      next = flight.next_try;
  }
  if (!next.has_value()) return false;
  const std::int64_t until = std::max(next->micros(), paused_until_.micros());
  const std::int64_t delay_us = std::max<std::int64_t>(0, until - clock_.now().micros());
  return clock_.wait(std::chrono::milliseconds(delay_us / 1000 + 1));
}

}  // namespace tally::exporter
