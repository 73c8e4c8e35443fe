// How Books adds up: summaries as Stripe shows them, and the oracle.
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
json number_of(double value) {
  const bool whole = std::nearbyint(value) == value && std::abs(value) < 9e18;
  if (whole) return static_cast<std::int64_t>(value);
  return value;
}

}  // namespace

// Drops the cancelled, and on meters with a window all but the last received of each hour or day.
Books::Positions Books::effective(const Meter& meter, const Positions& candidates) const {
  Positions kept;
  std::map<std::int64_t, std::size_t> newest;
  for (const std::size_t position : candidates) {
    if (events_[position].cancelled) continue;
    if (meter.window == TimeWindow::kNone) {
      kept.push_back(position);
    } else {
      newest[bucket_start(events_[position].sent.timestamp, meter.window)] = position;
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
    } else if (last == nullptr || event.sent.timestamp >= last->sent.timestamp) {
      last = &event;
      result = event.value;
    }
  }
  return result;
}

json Books::summary_value(const Meter& meter, const Positions& positions) const {
  if (behaviour_.summary_arithmetic == Arithmetic::kDoubles) {
    return number_of(double_aggregate(meter, positions));
  }
  return number_of(double_of(aggregate(meter, positions)));
}

double Books::double_aggregate(const Meter& meter, const Positions& positions) const {
  if (meter.formula == Formula::kLast) return double_of(aggregate(meter, positions));
  double sum = 0;
  for (const std::size_t position : positions) sum += double_of(events_[position].value);
  return sum;
}

json Books::summaries(const Meter& meter, const SummaryQuery& query) const {
  const auto series = by_series_.find({meter.id, query.customer});
  if (series == by_series_.end()) return json::array();
  std::map<std::int64_t, Positions, std::greater<>> buckets;
  for (const std::size_t position : effective(meter, series->second)) {
    const std::int64_t at = events_[position].sent.timestamp;
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
         {"aggregated_value", summary_value(meter, positions)},
         {"start_time", start},
         {"end_time", end},
         {"livemode", false},
         {"meter", meter.id}});
  }
  return rows;
}

template <typename Takes>
Books::Positions Books::effective_if(const Meter& meter, const std::string& customer,
                                     const Takes& takes) const {
  const auto series = by_series_.find({meter.id, customer});
  if (series == by_series_.end()) return {};
  Positions positions = effective(meter, series->second);
  std::erase_if(positions,
                [&](std::size_t position) { return !takes(events_[position].sent.timestamp); });
  return positions;
}

Books::Quantity Books::quantity(const Meter& meter, const std::string& customer,
                                const Span& span) const {
  const Positions positions =
      effective_if(meter, customer, [&](std::int64_t at) { return span.holds(at); });
  return {aggregate(meter, positions), units_of_double(double_aggregate(meter, positions))};
}

Units Books::outside(const Meter& meter, const std::string& customer,
                     const std::vector<Span>& spans) const {
  return aggregate(meter, effective_if(meter, customer, [&](std::int64_t at) {
                     return std::none_of(spans.begin(), spans.end(),
                                         [&](const Span& span) { return span.holds(at); });
                   }));
}

Books::Changes Books::changes(const Meter& meter, const std::string& customer, const Span& span,
                              std::uint64_t since) const {
  Changes out;
  const auto series = by_series_.find({meter.id, customer});
  if (series == by_series_.end()) return out;
  for (const std::size_t position : series->second) {
    const Event& event = events_[position];
    if (!span.holds(event.sent.timestamp)) continue;
    const bool came = event.counted_turn > since && !event.cancelled;
    const bool went =
        event.counted_turn <= since && event.cancelled && event.cancelled_turn > since;
    const Units by = came ? event.value : went ? -event.value : Units(0);
    Units& sum = by > 0 ? out.added : out.removed;
    sum = add(sum, by);
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> Books::series() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [series, positions] : by_series_) out.push_back(series);
  return out;
}

std::optional<std::int64_t> Books::next_due() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.begin()->first;
}

json Books::oracle_totals(const Span& span) const {
  struct Uncounted {
    std::size_t pending = 0;
    std::size_t rejected = 0;
  };
  std::map<std::string_view, Uncounted> uncounted;  // by meter
  for (const Event& event : events_) {
    if (event.state == EventState::kCounted || !span.holds(event.sent.timestamp)) continue;
    Uncounted& of = uncounted[event.meter_id];
    ++(event.state == EventState::kPending ? of.pending : of.rejected);
  }
  json meters = json::object();
  for (const Meter& meter : meters_) {
    // A later meter may reuse the event name of a deactivated one; both are shown.
    std::string name = meter.event_name;
    if (meters.contains(name)) name += "@" + meter.id;
    json customers = json::object();
    Units total = 0;
    std::size_t events = 0;
    for (auto series = by_series_.lower_bound({meter.id, ""});
         series != by_series_.end() && series->first.first == meter.id; ++series) {
      Positions positions = effective(meter, series->second);
      std::erase_if(positions, [&](std::size_t position) {
        return !span.holds(events_[position].sent.timestamp);
      });
      events += positions.size();
      if (positions.empty()) continue;
      const Units value = aggregate(meter, positions);
      customers[series->first.second] = text_of(value);
      total = add(total, value);
    }
    meters[name] = {
        {"formula", name_of(meter.formula)},      {"total", text_of(total)},
        {"customers", std::move(customers)},      {"events", events},
        {"pending", uncounted[meter.id].pending}, {"rejected", uncounted[meter.id].rejected}};
  }
  return {{"meters", std::move(meters)},
          {"without_meter",
           {{"pending", uncounted[""].pending}, {"rejected", uncounted[""].rejected}}}};
}

json Books::oracle_events(std::size_t from, std::size_t limit) const {
  json rows = json::array();
  for (std::size_t i = from; i < events_.size() && rows.size() < limit; ++i) {
    rows.push_back(json_of(events_[i]));
  }
  return {{"events", std::move(rows)}};
}

}  // namespace tally::sandbox
