// Meter events, their adjustments and their summaries.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;

Refused aligned(std::string_view key, std::int64_t time, TimeWindow grouping) {
  const std::int64_t step = grouping == TimeWindow::kNone ? 60 : seconds_of(grouping);
  if (time % step == 0) return std::nullopt;
  return invalid_request(fmt::format("{} must be aligned with {} boundaries.", key,
                                     step == 60      ? "minute"
                                     : step == 3'600 ? "hour"
                                                     : "day"),
                         "parameter_invalid", key);
}

Refused check_keys(const std::map<std::string, std::string>& payload) {
  for (const auto& [key, value] : payload) {
    if (count_characters(key) > kMaxName) {
      return invalid_request("A payload key has at most 100 characters.", "", "payload");
    }
  }
  return std::nullopt;
}

json shown_event(const Event& event) {
  return {{"object", "billing.meter_event"},
          {"created", event.received},
          {"event_name", event.sent.event_name},
          {"identifier", event.sent.identifier},
          {"livemode", false},
          {"payload", event.sent.payload},
          {"timestamp", event.sent.timestamp}};
}

}  // namespace

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
  if (auto refused = check_keys(payload)) return *refused;
  const std::string identifier =
      form.get("identifier", fmt::format("evt_test_{}_{}", now(), books_.event_count()));
  Books::Judged judged = books_.judge({form.get("event_name"), payload, identifier,
                                       call.idempotency_key, timestamp.value_or(now())},
                                      now());
  // One call at a time per customer and meter; ours is in flight until its answer left.
  if (!judged.event.meter_id.empty()) {
    if (auto busy = limits_.occupy(judged.event.meter_id + "|" + judged.event.customer,
                                   behaviour_.concurrency, call.at, call.at + call.delay)) {
      return *busy;
    }
  }
  if (judged.refused) return *judged.refused;
  judged.event.reject_later = call.reject_later;
  Reply reply{200, shown_event(judged.event)};
  reply.rejects_later = !call.reject_later.empty();
  journal_.add({{"event", json_of(judged.event)}});
  books_.accept(std::move(judged.event));
  settle();
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
  if (auto refused = choice("type", "cancel", form.get("type") == "cancel")) return *refused;
  const std::string event_name = form.get("event_name");
  const std::string identifier = form.get("cancel[identifier]");
  const Books::Cancelled done = books_.cancel(event_name, identifier, now());
  if (done.refused) return *done.refused;
  journal_.add({{"cancel", done.position}});
  const bool waits = books_.event(done.position).state == EventState::kPending;
  return {200,
          {{"object", "billing.meter_event_adjustment"},
           {"cancel", {{"identifier", identifier}}},
           {"event_name", event_name},
           {"livemode", false},
           {"status", waits ? "pending" : "complete"},
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
  if (auto refused = choice("value_grouping_window", "day or hour", grouping.has_value())) {
    return *refused;
  }
  if (auto refused = aligned("start_time", *start, *grouping)) return *refused;
  if (auto refused = aligned("end_time", *end, *grouping)) return *refused;
  if (*start >= *end) {
    return invalid_request("start_time must be before end_time.", "parameter_invalid",
                           "start_time");
  }
  PageRequest page;
  if (auto refused = read_page(form, page)) return *refused;
  return page_of(books_.summaries(meter, {form.get("customer"), *start, *end, *grouping}), page,
                 fmt::format("/v1/billing/meters/{}/event_summaries", meter.id));
}

}  // namespace tally::sandbox
