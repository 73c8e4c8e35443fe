// The endpoints below /v1/billing.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::string_view kMeters = "/v1/billing/meters";
constexpr std::size_t kMaxName = 100;

Reply unknown_url(std::string_view method, std::string_view path) {
  return error_reply(404, "invalid_request_error",
                     fmt::format("Unrecognized request URL ({}: {}).", method, path));
}

Refused choice(const Form& form, std::string_view key, std::string_view allowed, bool known) {
  if (known) return std::nullopt;
  return invalid_request(fmt::format("Invalid {}: must be one of {}", key, allowed, form.get(key)),
                         "", key);
}

Refused aligned(std::string_view key, std::int64_t time, TimeWindow grouping) {
  const std::int64_t step = grouping == TimeWindow::kNone ? 60 : seconds_of(grouping);
  if (time % step == 0) return std::nullopt;
  return invalid_request(fmt::format("{} must be aligned with {} boundaries.", key,
                                     step == 60      ? "minute"
                                     : step == 3'600 ? "hour"
                                                     : "day"),
                         "", key);
}

}  // namespace

Reply Sandbox::route(const Call& call) {
  if (call.is("POST", "/v1/billing/meter_events")) return create_event(call);
  if (call.is("POST", "/v1/billing/meter_event_adjustments")) return cancel_event(call);
  if (call.is("POST", kMeters)) return create_meter(call);
  if (call.is("GET", kMeters)) return list_meters(call);
  const std::string below = std::string(kMeters) + "/";
  if (call.path.starts_with(below)) {
    return route_meter(call, std::string_view(call.path).substr(below.size()));
  }
  return unknown_url(call.method, call.path);
}

Reply Sandbox::route_meter(const Call& call, std::string_view rest) {
  const auto slash = std::min(rest.find('/'), rest.size());
  const std::string_view id = rest.substr(0, slash);
  const std::string_view verb = rest.substr(std::min(rest.size(), slash + 1));
  const Meter* meter = books_.meter(id);
  if (meter == nullptr) {
    return error_reply(404, "invalid_request_error", fmt::format("No such billing meter: '{}'", id),
                       "resource_missing");
  }
  if (call.method == "GET" && verb.empty()) {
    if (auto refused = call.form.check({{"expand[]"}})) return *refused;
    return {200, json_of(*meter)};
  }
  if (call.method == "GET" && verb == "event_summaries") return event_summaries(call, *meter);
  const bool changes = verb.empty() || verb == "deactivate" || verb == "reactivate";
  if (call.method == "POST" && changes) return change_meter(call, *meter, verb);
  return unknown_url(call.method, call.path);
}

Reply Sandbox::create_meter(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check({{"display_name", true, 250},
                                 {"event_name", true, kMaxName},
                                 {"default_aggregation[formula]", true},
                                 {"customer_mapping[event_payload_key]", false, kMaxName},
                                 {"customer_mapping[type]"},
                                 {"value_settings[event_payload_key]", false, kMaxName},
                                 {"event_time_window"},
                                 {"expand[]"}})) {
    return *refused;
  }
  const auto formula = formula_of(form.get("default_aggregation[formula]"));
  const auto window = window_of(form.get("event_time_window"));
  const bool by_id = form.get("customer_mapping[type]", "by_id") == "by_id";
  if (auto refused = choice(form, "default_aggregation[formula]", "count, last, or sum",
                            formula.has_value())) {
    return *refused;
  }
  if (auto refused = choice(form, "event_time_window", "day or hour", window.has_value())) {
    return *refused;
  }
  if (auto refused = choice(form, "customer_mapping[type]", "by_id", by_id)) return *refused;
  if (books_.active_meter(form.get("event_name")) != nullptr) {
    return declined(fmt::format("There is an existing active meter with event name \"{}\".",
                                form.get("event_name")));
  }
  Meter meter{books_.next_meter_id(), form.get("event_name"), form.get("display_name"), *formula,
              *window};
  meter.customer_key = form.get("customer_mapping[event_payload_key]", meter.customer_key);
  meter.value_key = form.get("value_settings[event_payload_key]", meter.value_key);
  meter.created = meter.updated = now();
  record({{"meter", json_of(meter)}});
  books_.put(meter);
  return {200, json_of(meter)};
}

Reply Sandbox::list_meters(const Call& call) {
  if (auto refused = call.form.check(
          {{"status"}, {"limit"}, {"starting_after"}, {"ending_before"}, {"expand[]"}})) {
    return *refused;
  }
  const std::string status = call.form.get("status");
  const bool known = status.empty() || status == "active" || status == "inactive";
  if (auto refused = choice(call.form, "status", "active or inactive", known)) return *refused;
  PageRequest page;
  if (auto refused = read_page(call.form, page)) return *refused;
  json rows = json::array();
  for (auto meter = books_.meters().rbegin(); meter != books_.meters().rend(); ++meter) {
    json row = json_of(*meter);
    if (status.empty() || row["status"] == status) rows.push_back(std::move(row));
  }
  return page_of(rows, page, kMeters);
}

Reply Sandbox::change_meter(const Call& call, const Meter& meter, std::string_view verb) {
  std::vector<Parameter> known = {{"expand[]"}};
  if (verb.empty()) known.push_back({"display_name", false, 250});
  if (auto refused = call.form.check(known)) return *refused;
  Meter changed = meter;
  if (verb.empty()) changed.display_name = call.form.get("display_name", meter.display_name);
  if (verb == "deactivate") {
    if (!meter.active()) return declined("This meter is already inactive.");
    changed.deactivated_at = now();
  }
  if (verb == "reactivate") {
    if (meter.active()) return declined("This meter is already active.");
    if (books_.active_meter(meter.event_name) != nullptr) {
      return declined(fmt::format("There is an existing active meter with event name \"{}\".",
                                  meter.event_name));
    }
    changed.deactivated_at.reset();
  }
  changed.updated = now();
  record({{"meter", json_of(changed)}});
  books_.put(changed);
  return {200, json_of(changed)};
}

// Stripe takes one call at a time per customer and meter; ours is in flight until its answer left.
Refused Sandbox::occupy(const std::string& series, const Call& call) {
  const Time at = options_.steady_now();
  std::erase_if(in_flight_, [&](const auto& entry) { return entry.second <= at; });
  if (in_flight_.contains(series)) {
    Fault concurrent;
    concurrent.kind = FaultKind::kStatus409;
    return reply_of(concurrent);
  }
  if (call.delay.count() > 0) in_flight_[series] = at + call.delay;
  return std::nullopt;
}

Reply Sandbox::create_event(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check({{"event_name", true, kMaxName},
                                 {"payload[*]", true, kMaxName},
                                 {"identifier", false, kMaxName},
                                 {"timestamp"},
                                 {"expand[]"}})) {
    return *refused;
  }
  std::optional<std::int64_t> timestamp;
  if (auto refused = form.integer("timestamp", timestamp)) return *refused;
  const auto payload = form.map_of("payload");
  for (const auto& [key, value] : payload) {
    if (count_characters(key) > kMaxName) {
      return invalid_request("A payload key has at most 100 characters.", "", "payload");
    }
  }
  const std::string identifier =
      form.get("identifier", fmt::format("evt_test_{}_{}", now(), books_.event_count()));
  Books::Judged judged =
      books_.judge(form.get("event_name"), payload, identifier, timestamp.value_or(now()), now());
  if (!judged.event.meter_id.empty()) {
    if (auto busy = occupy(judged.event.meter_id + "|" + judged.event.customer, call)) return *busy;
  }
  if (judged.refused) return *judged.refused;
  const Event& event = judged.event;
  record({{"event", json_of(event, *books_.meter(event.meter_id))}});
  Reply reply{200,
              {{"object", "billing.meter_event"},
               {"created", event.received},
               {"event_name", form.get("event_name")},
               {"identifier", identifier},
               {"livemode", false},
               {"payload", payload},
               {"timestamp", event.timestamp}}};
  books_.accept(std::move(judged.event));
  return reply;
}

Reply Sandbox::cancel_event(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check({{"event_name", true, kMaxName},
                                 {"type", true},
                                 {"cancel[identifier]", true, kMaxName},
                                 {"expand[]"}})) {
    return *refused;
  }
  if (auto refused = choice(form, "type", "cancel", form.get("type") == "cancel")) return *refused;
  const std::string event_name = form.get("event_name");
  const std::string identifier = form.get("cancel[identifier]");
  if (auto refused = books_.cancel(event_name, identifier, now())) return *refused;
  record({{"cancel", {{"event_name", event_name}, {"identifier", identifier}, {"now", now()}}}});
  return {200,
          {{"object", "billing.meter_event_adjustment"},
           {"cancel", {{"identifier", identifier}}},
           {"event_name", event_name},
           {"livemode", false},
           {"status", "complete"},
           {"type", "cancel"}}};
}

Reply Sandbox::event_summaries(const Call& call, const Meter& meter) {
  const Form& form = call.form;
  if (auto refused = form.check({{"customer", true},
                                 {"start_time", true},
                                 {"end_time", true},
                                 {"value_grouping_window"},
                                 {"limit"},
                                 {"starting_after"},
                                 {"ending_before"},
                                 {"expand[]"}})) {
    return *refused;
  }
  std::optional<std::int64_t> start;
  std::optional<std::int64_t> end;
  if (auto refused = form.integer("start_time", start)) return *refused;
  if (auto refused = form.integer("end_time", end)) return *refused;
  const auto grouping = window_of(form.get("value_grouping_window"));
  if (auto refused = choice(form, "value_grouping_window", "day or hour", grouping.has_value())) {
    return *refused;
  }
  if (auto refused = aligned("start_time", *start, *grouping)) return *refused;
  if (auto refused = aligned("end_time", *end, *grouping)) return *refused;
  if (*start >= *end) {
    return invalid_request("start_time must be before end_time.", "", "start_time");
  }
  PageRequest page;
  if (auto refused = read_page(form, page)) return *refused;
  return page_of(books_.summaries(meter, {form.get("customer"), *start, *end, *grouping}), page,
                 fmt::format("{}/{}/event_summaries", kMeters, meter.id));
}

}  // namespace tally::sandbox
