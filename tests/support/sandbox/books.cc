#include "tests/support/sandbox/books.h"

#include "tests/support/sandbox/draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tally::sandbox {
namespace {

std::optional<Problem> wrong_value(std::string_view text, const ParsedValue& parsed,
                                   ValueRule rule) {
  switch (parsed.error) {
    case ValueError::kNone:
      break;
    case ValueError::kGrammar:
      return Problem{"meter_event_invalid_value",
                     fmt::format("Invalid value in the event payload: {} is not a number.", text)};
    case ValueError::kTooManyDigits:
      return Problem{"meter_event_value_too_many_digits",
                     fmt::format("The value in the event payload can have at most {} digits. "
                                 "Received {}.",
                                 kMaxSignificantDigits, text)};
    case ValueError::kTooManyDecimals:
      return Problem{"meter_event_invalid_value",
                     fmt::format("The value in the event payload can have at most {} decimals. "
                                 "Received {}.",
                                 kDecimals, text)};
  }
  const bool whole = text.find('.') == std::string_view::npos;
  if (rule == ValueRule::kInteger && !whole) {
    return Problem{
        "meter_event_invalid_value",
        fmt::format("The value in the event payload must be an integer. Received {}.", text)};
  }
  if (rule == ValueRule::kPositiveInteger && (!whole || parsed.units <= 0)) {
    return Problem{
        "meter_event_invalid_value",
        fmt::format("The value in the event payload must be a positive integer. Received {}.",
                    text)};
  }
  return std::nullopt;
}

std::optional<Problem> wrong_time(std::int64_t timestamp, std::int64_t now) {
  if (timestamp < now - kOldestEventSeconds) {
    return Problem{"timestamp_too_far_in_past",
                   fmt::format("The event timestamp cannot be more than 35 days in past. Expected "
                               "a timestamp greater than or equal to {}.",
                               now - kOldestEventSeconds)};
  }
  if (timestamp > now + kFutureEventSeconds) {
    return Problem{"timestamp_in_future",
                   fmt::format("The event timestamp cannot be more than 5 minutes in the future. "
                               "Expected a timestamp less than or equal to {}.",
                               now + kFutureEventSeconds)};
  }
  return std::nullopt;
}

// What is under `key`; "" when it is absent or empty.
std::string text_at(const std::map<std::string, std::string>& payload, const std::string& key) {
  const auto found = payload.find(key);
  return found == payload.end() ? "" : found->second;
}

}  // namespace

const Meter* Books::meter(std::string_view id) const {
  const auto found =
      std::find_if(meters_.begin(), meters_.end(), [&](const Meter& m) { return m.id == id; });
  return found == meters_.end() ? nullptr : &*found;
}

const Meter* Books::active_meter(std::string_view event_name) const {
  const auto found = std::find_if(meters_.begin(), meters_.end(), [&](const Meter& m) {
    return m.active() && m.event_name == event_name;
  });
  return found == meters_.end() ? nullptr : &*found;
}

void Books::put(Meter meter) {
  const auto found = std::find_if(meters_.begin(), meters_.end(),
                                  [&](const Meter& m) { return m.id == meter.id; });
  if (found == meters_.end()) {
    meters_.push_back(std::move(meter));
  } else {
    *found = std::move(meter);
  }
}

std::string Books::next_meter_id() const {
  return fmt::format("mtr_test_{:08}", meters_.size() + 1);
}

// Fills in what the checks after it need: value and customer.
std::optional<Problem> Books::problem(Check check, Event& event) const {
  const std::string& name = event.sent.event_name;
  const Meter* of = meter(event.meter_id);
  if (check == Check::kMeter) {
    if (of == nullptr) {
      return Problem{"no_meter", fmt::format("No meter was found matching event_name {}.", name)};
    }
    if (of->active()) return std::nullopt;
    return Problem{"archived_meter", fmt::format("The meter of event_name {} is archived.", name)};
  }
  if (check == Check::kTimestamp) return wrong_time(event.sent.timestamp, event.received);
  if (of == nullptr) return std::nullopt;
  const bool has_value = of->formula != Formula::kCount;
  switch (check) {
    case Check::kPayload:
      if (event.customer.empty()) {
        return Problem{
            "meter_event_no_customer_defined",
            fmt::format("Customer mapping key {} not found in payload.", of->customer_key)};
      }
      if ((has_value || behaviour_.count_needs_value) &&
          !event.sent.payload.contains(of->value_key)) {
        return Problem{"meter_event_value_not_found",
                       fmt::format("Value key {} not found in payload.", of->value_key)};
      }
      return std::nullopt;
    case Check::kValue: {
      event.value = units_of(1);
      if (!has_value) return std::nullopt;
      const std::string text = text_at(event.sent.payload, of->value_key);
      const ParsedValue parsed = parse_value(text);
      event.value = parsed.units;
      return wrong_value(text, parsed, behaviour_.values);
    }
    default:
      if (customers_.exists(event.customer)) return std::nullopt;
      return Problem{"meter_event_customer_not_found",
                     fmt::format("No such customer: '{}'", event.customer)};
  }
}

// The first problem of the checks that are made at once.
Refused Books::refuse_now(Event& event) const {
  for (std::size_t i = 0; i < kChecks; ++i) {
    const Check check = static_cast<Check>(i);
    if (behaviour_.later(check)) continue;
    const std::optional<Problem> found = problem(check, event);
    if (!found) continue;
    if (check != Check::kMeter) return declined(found->message, found->code);
    return declined(
        fmt::format("No active meter found for event name \"{}\".", event.sent.event_name));
  }
  return std::nullopt;
}

bool Books::is_duplicate(const Draft& draft, std::int64_t now) const {
  for (auto known = by_identifier_.lower_bound({draft.identifier, ""});
       known != by_identifier_.end() && known->first.first == draft.identifier; ++known) {
    const Event& event = events_[known->second.position];
    const bool in_scope = behaviour_.identifier_scope == IdentifierScope::kAccount ||
                          event.sent.event_name == draft.event_name;
    const bool spent = event.cancelled || event.state == EventState::kRejected;
    const bool freed = spent && behaviour_.spent_identifiers == SpentIdentifiers::kFreed;
    if (in_scope && !freed && now - event.received < behaviour_.identifier_window_s) return true;
  }
  return false;
}

std::uint64_t Books::times(const std::string& identifier) const {
  std::uint64_t sum = 0;
  for (auto known = by_identifier_.lower_bound({identifier, ""});
       known != by_identifier_.end() && known->first.first == identifier; ++known) {
    sum += known->second.times;
  }
  return sum;
}

Event Books::begun(Draft draft, std::int64_t now) const {
  Event event;
  if (const Meter* of = active_meter(draft.event_name); of != nullptr) {
    event.meter_id = of->id;
    event.customer = text_at(draft.payload, of->customer_key);
  }
  const auto span =
      static_cast<std::uint64_t>(behaviour_.apply_delay_max_s - behaviour_.apply_delay_min_s + 1);
  const std::uint64_t drawn =
      draw(static_cast<std::uint64_t>(behaviour_.seed), draft.identifier, times(draft.identifier));
  event.received = now;
  event.due = now + behaviour_.apply_delay_min_s + static_cast<std::int64_t>(drawn % span);
  event.sent = std::move(draft);
  return event;
}

Event Books::streamed(Draft draft, std::int64_t now) const {
  Event event = begun(std::move(draft), now);
  if (!is_duplicate(event.sent, now)) return event;
  event.state = EventState::kRejected;
  event.code = kDuplicate;
  event.message = fmt::format("An event already exists with identifier {}.", event.sent.identifier);
  return event;
}

Books::Judged Books::judge(Draft draft, std::int64_t now) const {
  Event event = begun(std::move(draft), now);
  if (auto refused = refuse_now(event)) return {std::move(refused), std::move(event)};
  if (is_duplicate(event.sent, now)) {
    Reply duplicate =
        declined(fmt::format("An event already exists with identifier {}.", event.sent.identifier));
    duplicate.headers["Stripe-Should-Retry"] = "false";
    return {std::move(duplicate), std::move(event)};
  }
  return {std::nullopt, std::move(event)};
}

std::size_t Books::accept(Event event) {
  const std::size_t position = events_.size();
  if (event.code != kDuplicate) {
    Known& known = by_identifier_[{event.sent.identifier, event.sent.event_name}];
    known = {position, known.times + 1};
  }
  if (event.state == EventState::kPending) waiting_.insert({event.due, position});
  events_.push_back(std::move(event));
  if (events_.back().state == EventState::kCounted) count(position);
  return position;
}

// Every check once more, and those that were left for later: the world may have changed.
void Books::decide(Event& event) const {
  event.state = EventState::kCounted;
  if (event.cancelled) return;
  const std::string& name = event.sent.event_name;
  const Meter* of = event.meter_id.empty() ? active_meter(name) : meter(event.meter_id);
  if (of == nullptr) {
    const auto archived = std::find_if(meters_.rbegin(), meters_.rend(),
                                       [&](const Meter& m) { return m.event_name == name; });
    if (archived != meters_.rend()) of = &*archived;
  }
  if (of != nullptr) {
    event.meter_id = of->id;
    event.customer = text_at(event.sent.payload, of->customer_key);
  }
  for (std::size_t i = 0; i < kChecks; ++i) {
    const std::optional<Problem> found = problem(static_cast<Check>(i), event);
    if (!found) continue;
    event.state = EventState::kRejected;
    event.code = found->code;
    event.message = found->message;
    return;
  }
  if (event.reject_later.empty()) return;
  event.state = EventState::kRejected;
  event.code = event.reject_later;
  event.message = "The event was rejected, as a fault asked for.";
}

// Positions stay in the order of reception, whenever each is counted.
void Books::count(std::size_t position) {
  Event& event = events_[position];
  event.counted_turn = ++turn_;
  Positions& of = by_series_[{event.meter_id, event.customer}];
  of.insert(std::upper_bound(of.begin(), of.end(), position), position);
}

std::vector<std::size_t> Books::settle(std::int64_t now) {
  std::vector<std::size_t> settled;
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    const std::size_t position = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    decide(events_[position]);
    if (events_[position].state == EventState::kCounted) count(position);
    settled.push_back(position);
  }
  return settled;
}

void Books::restore(std::size_t position, Event event) {
  if (waiting_.erase({event.due, position}) == 0) {
    throw std::runtime_error(fmt::format("event {} does not wait", position));
  }
  event.cancelled_turn = events_.at(position).cancelled_turn;
  events_[position] = std::move(event);
  if (events_[position].state == EventState::kCounted) count(position);
}

Books::Cancelled Books::cancel(std::string_view event_name, const std::string& identifier,
                               std::int64_t now) {
  const auto found = by_identifier_.find({identifier, std::string(event_name)});
  if (found == by_identifier_.end() ||
      events_[found->second.position].state == EventState::kRejected) {
    return {declined(fmt::format("No event found with identifier {}.", identifier),
                     "resource_missing")};
  }
  const std::size_t position = found->second.position;
  const Event& event = events_[position];
  const Meter* of = meter(event.meter_id);
  if (of != nullptr && of->window != TimeWindow::kNone && !behaviour_.cancel_preaggregated) {
    return {declined("Events of a meter with an event_time_window cannot be cancelled.",
                     "invalid_cancel_configuration")};
  }
  if (now - event.received >= kDaySeconds) {
    return {declined("An event can be cancelled only within 24 hours of its reception.",
                     "out_of_window")};
  }
  cancel(position);
  return {std::nullopt, position};
}

void Books::cancel(std::size_t position) {
  Event& event = events_.at(position);
  if (event.cancelled) return;
  event.cancelled = true;
  event.cancelled_turn = ++turn_;
}

}  // namespace tally::sandbox
