#include "tests/support/sandbox/books.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tally::sandbox {
namespace {

using nlohmann::json;

std::int64_t bucket_start(std::int64_t timestamp, TimeWindow window) {
  const std::int64_t size = seconds_of(window);
  return timestamp - ((timestamp % size) + size) % size;
}

// A double, shown as Stripe shows it: 25, not 25.0.
json number_of(Units units) {
  const double value = double_of(units);
  const bool whole = std::nearbyint(value) == value && std::abs(value) < 9e18;
  if (whole) return static_cast<std::int64_t>(value);
  return value;
}

Refused wrong_value(std::string_view text, ValueError error) {
  switch (error) {
    case ValueError::kNone:
      return std::nullopt;
    case ValueError::kGrammar:
      return declined(fmt::format("Invalid value in the event payload: {} is not a number.", text),
                      "meter_event_invalid_value");
    case ValueError::kTooManyDigits:
      return declined(fmt::format("The value in the event payload can have at most {} digits. "
                                  "Received {}.",
                                  kMaxSignificantDigits, text),
                      "meter_event_value_too_many_digits");
    case ValueError::kTooManyDecimals:
      return declined(fmt::format("The value in the event payload can have at most {} decimals. "
                                  "Received {}.",
                                  kDecimals, text),
                      "meter_event_invalid_value");
  }
  return std::nullopt;
}

Refused wrong_time(std::int64_t timestamp, std::int64_t now) {
  if (timestamp < now - kOldestEventSeconds) {
    return declined(
        fmt::format("The event timestamp cannot be more than 35 days in past. Expected a "
                    "timestamp greater than or equal to {}.",
                    now - kOldestEventSeconds),
        "timestamp_too_far_in_past");
  }
  if (timestamp > now + kFutureEventSeconds) {
    return declined(
        fmt::format("The event timestamp cannot be more than 5 minutes in the future. Expected a "
                    "timestamp less than or equal to {}.",
                    now + kFutureEventSeconds),
        "timestamp_in_future");
  }
  return std::nullopt;
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

Books::Judged Books::judge(std::string_view event_name,
                           const std::map<std::string, std::string>& payload,
                           std::string_view identifier, std::int64_t timestamp,
                           std::int64_t now) const {
  const Meter* meter = active_meter(event_name);
  if (meter == nullptr) {
    return {declined(fmt::format("No active meter found for event name \"{}\".", event_name)), {}};
  }
  const auto customer = payload.find(meter->customer_key);
  if (customer == payload.end() || customer->second.empty()) {
    return {
        declined(fmt::format("Customer mapping key {} not found in payload.", meter->customer_key),
                 "meter_event_no_customer_defined"),
        {}};
  }
  Event event{meter->id, std::string(identifier), customer->second, payload, units_of(1), timestamp,
              now};
  if (meter->formula != Formula::kCount) {
    const auto value = payload.find(meter->value_key);
    if (value == payload.end()) {
      return {declined(fmt::format("Value key {} not found in payload.", meter->value_key),
                       "meter_event_value_not_found"),
              {}};
    }
    const ParsedValue parsed = parse_value(value->second);
    if (auto refused = wrong_value(value->second, parsed.error)) return {refused, {}};
    event.value = parsed.units;
  }
  if (auto refused = wrong_time(timestamp, now)) return {refused, {}};
  const auto known = by_identifier_.find(identifier);
  if (known != by_identifier_.end() && now - events_[known->second].received < kIdentifierSeconds) {
    Reply duplicate =
        declined(fmt::format("An event already exists with identifier {}.", identifier));
    duplicate.headers["Stripe-Should-Retry"] = "false";
    return {duplicate, {}};
  }
  return {std::nullopt, std::move(event)};
}

void Books::accept(Event event) {
  by_series_[{event.meter_id, event.customer}].push_back(events_.size());
  by_identifier_[event.identifier] = events_.size();
  events_.push_back(std::move(event));
}

Refused Books::cancel(std::string_view event_name, std::string_view identifier, std::int64_t now) {
  const auto found = by_identifier_.find(identifier);
  const Meter* of =
      found == by_identifier_.end() ? nullptr : meter(events_[found->second].meter_id);
  if (of == nullptr || of->event_name != event_name) {
    return declined(fmt::format("No event found with identifier {}.", identifier),
                    "resource_missing");
  }
  Event& event = events_[found->second];
  if (now - event.received >= kDaySeconds) {
    return declined("An event can be cancelled only within 24 hours of its reception.",
                    "out_of_window");
  }
  event.cancelled = true;
  return std::nullopt;
}

// Drops the cancelled, and on meters with a window all but the last received of each hour or day.
Books::Positions Books::effective(const Meter& meter, const Positions& candidates) const {
  Positions kept;
  std::map<std::int64_t, std::size_t> newest;
  for (const std::size_t position : candidates) {
    if (events_[position].cancelled) continue;
    if (meter.window == TimeWindow::kNone) {
      kept.push_back(position);
    } else {
      newest[bucket_start(events_[position].timestamp, meter.window)] = position;
    }
  }
  for (const auto& [start, position] : newest) kept.push_back(position);
  return kept;
}

Units Books::aggregate(const Meter& meter, const Positions& positions) const {
  Units result = 0;
  const Event* last = nullptr;
  for (const std::size_t position : positions) {
    const Event& event = events_[position];
    if (meter.formula != Formula::kLast) {
      result = add(result, event.value);
    } else if (last == nullptr || event.timestamp >= last->timestamp) {
      last = &event;
      result = event.value;
    }
  }
  return result;
}

json Books::summaries(const Meter& meter, const SummaryQuery& query) const {
  const auto series = by_series_.find({meter.id, query.customer});
  if (series == by_series_.end()) return json::array();
  std::map<std::int64_t, Positions, std::greater<>> buckets;
  for (const std::size_t position : effective(meter, series->second)) {
    const std::int64_t at = events_[position].timestamp;
    if (at < query.start || at >= query.end) continue;
    const bool grouped = query.grouping != TimeWindow::kNone;
    buckets[grouped ? bucket_start(at, query.grouping) : query.start].push_back(position);
  }
  json rows = json::array();
  for (const auto& [start, positions] : buckets) {
    const bool grouped = query.grouping != TimeWindow::kNone;
    const std::int64_t end = grouped ? start + seconds_of(query.grouping) : query.end;
    rows.push_back(
        {{"id", fmt::format("mtrusg_test_{}_{}_{}_{}", meter.id, query.customer, start, end)},
         {"object", "billing.meter_event_summary"},
         {"aggregated_value", number_of(aggregate(meter, positions))},
         {"start_time", start},
         {"end_time", end},
         {"livemode", false},
         {"meter", meter.id}});
  }
  return rows;
}

json Books::oracle_totals() const {
  json meters = json::object();
  for (const Meter& meter : meters_) {
    // A later meter may reuse the event name of a deactivated one; both are shown.
    std::string name = meter.event_name;
    if (meters.contains(name)) name += "@" + meter.id;
    json customers = json::object();
    Units total = 0;
    std::size_t count = 0;
    for (auto series = by_series_.lower_bound({meter.id, ""});
         series != by_series_.end() && series->first.first == meter.id; ++series) {
      const Positions positions = effective(meter, series->second);
      count += positions.size();
      if (positions.empty()) continue;
      const Units value = aggregate(meter, positions);
      customers[series->first.second] = text_of(value);
      total = add(total, value);
    }
    meters[name] = {{"formula", name_of(meter.formula)},
                    {"total", text_of(total)},
                    {"customers", std::move(customers)},
                    {"events", count}};
  }
  return {{"meters", std::move(meters)}};
}

json Books::oracle_events() const {
  json rows = json::array();
  for (const Event& event : events_) rows.push_back(json_of(event, *meter(event.meter_id)));
  return {{"events", std::move(rows)}};
}

}  // namespace tally::sandbox
