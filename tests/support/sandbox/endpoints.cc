// Which endpoint answers, and the endpoints of meters and customers.
#include "tests/support/sandbox/call.h"
#include "tests/support/sandbox/places.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::string_view kMeters = "/v1/billing/meters";

}  // namespace

Reply unknown_url(std::string_view method, std::string_view path) {
  return error_reply(404, "invalid_request_error",
                     fmt::format("Unrecognized request URL ({}: {}).", method, path));
}

Reply no_such(std::string_view kind, std::string_view id) {
  Reply reply = error_reply(404, "invalid_request_error", fmt::format("No such {}: '{}'", kind, id),
                            "resource_missing");
  reply.keep = Keep::kYes;
  return reply;
}

Refused read_page(const Form& form, PageRequest& out) {
  std::optional<std::int64_t> limit;
  if (auto refused = form.integer("limit", limit)) return refused;
  out.limit = limit.value_or(10);
  out.starting_after = form.get("starting_after");
  out.ending_before = form.get("ending_before");
  return std::nullopt;
}

Refused choice(std::string_view key, std::string_view allowed, bool known) {
  if (known) return std::nullopt;
  return invalid_request(fmt::format("Invalid {}: must be one of {}", key, allowed), "", key);
}

Reply Sandbox::route(const Call& call) {
  if (call.is("POST", "/v1/billing/meter_events")) return create_event(call);
  if (call.is("POST", "/v1/billing/meter_event_adjustments")) return cancel_event(call);
  if (call.is("POST", kMeters)) return create_meter(call);
  if (call.is("GET", kMeters)) return list_meters(call);
  if (call.is("POST", "/v1/customers")) return create_customer(call);
  if (call.is("GET", "/v1/account")) return account(call);
  std::string_view rest;
  if (call.is_below("/v1/billing/meters/", rest)) return route_meter(call, rest);
  if (call.is_below("/v1/customers/", rest)) return route_customer(call, rest);
  if (call.is_below("/v2/core/events/", rest)) return core_event(call, rest);
  if (const auto second = route_v2(call)) return *second;
  auto billed = route_webhooks(call);
  if (!billed) billed = route_billing(call);
  if (!billed) billed = route_invoicing(call);
  if (billed) {
    billed->body = shown(std::move(billed->body), call.version);
    return *billed;
  }
  return unknown_url(call.method, call.path);
}

// That of the key, of which there is one.
Reply Sandbox::account(const Call& call) {
  if (auto refused = call.form.check({{"expand[]"}})) return *refused;
  return {200,
          {{"id", behaviour_.account},
           {"object", "account"},
           {"business_type", nullptr},
           {"charges_enabled", true},
           {"country", "US"},
           {"default_currency", "usd"},
           {"details_submitted", true},
           {"email", nullptr},
           {"metadata", json::object()},
           {"payouts_enabled", true},
           {"type", "standard"}}};
}

Reply Sandbox::route_meter(const Call& call, std::string_view rest) {
  const auto slash = std::min(rest.find('/'), rest.size());
  const std::string_view id = rest.substr(0, slash);
  const std::string_view verb = rest.substr(std::min(rest.size(), slash + 1));
  const Meter* meter = books_.meter(id);
  if (meter == nullptr) return no_such("billing meter", id);
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
  const bool mapped = form.find("customer_mapping[type]").has_value();
  if (mapped != form.find("customer_mapping[event_payload_key]").has_value()) {
    return invalid_request("Missing required param: customer_mapping.", "parameter_missing",
                           "customer_mapping");
  }
  if (auto refused =
          choice("default_aggregation[formula]", "count, last, or sum", formula.has_value())) {
    return *refused;
  }
  if (auto refused = choice("event_time_window", "day or hour", window.has_value())) {
    return *refused;
  }
  if (auto refused = choice("customer_mapping[type]", "by_id", by_id)) return *refused;
  if (books_.active_meter(form.get("event_name")) != nullptr) {
    return declined(fmt::format("There is an existing active meter with event name \"{}\".",
                                form.get("event_name")));
  }
  Meter meter{books_.next_meter_id(), form.get("event_name"), form.get("display_name"), *formula,
              *window};
  meter.customer_key = form.get("customer_mapping[event_payload_key]", meter.customer_key);
  meter.value_key = form.get("value_settings[event_payload_key]", meter.value_key);
  meter.created = meter.updated = now();
  journal_.add({{"meter", json_of(meter)}});
  books_.put(meter);
  billing_.emit("billing.meter.created", json_of(meter), now());
  return {200, json_of(meter)};
}

Reply Sandbox::list_meters(const Call& call) {
  if (auto refused = call.form.check(
          {{"status"}, {"limit"}, {"starting_after"}, {"ending_before"}, {"expand[]"}})) {
    return *refused;
  }
  const std::string status = call.form.get("status");
  const bool known = status.empty() || status == "active" || status == "inactive";
  if (auto refused = choice("status", "active or inactive", known)) return *refused;
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
  journal_.add({{"meter", json_of(changed)}});
  books_.put(changed);
  const std::string what = verb.empty() ? "updated" : std::string(verb) + "d";
  billing_.emit("billing.meter." + what, json_of(changed), now());
  return {200, json_of(changed)};
}

Reply Sandbox::create_customer(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check(
          {{"name"}, {"email"}, {"description"}, {"metadata[*]", false, 500}, {"expand[]"}})) {
    return *refused;
  }
  json customer = new_customer(customers_.next_id(), now(), form.map_of("metadata"));
  for (const char* field : {"name", "email", "description"}) {
    if (const auto given = form.find(field)) customer[field] = *given;
  }
  journal_.add({{"customer", customer}});
  customers_.put(customer);
  billing_.emit("customer.created", customer, now());
  return {200, customer};
}

Reply Sandbox::route_customer(const Call& call, std::string_view id) {
  if (auto refused = call.form.check({{"expand[]"}})) return *refused;
  const bool reads = call.method == "GET";
  if (!reads && call.method != "DELETE") return unknown_url(call.method, call.path);
  const json customer = customers_.shown(id);
  if (customer.is_null() || (!reads && customer.contains("deleted"))) {
    return no_such("customer", id);
  }
  if (reads) return {200, customer};
  const json deleted = deleted_customer(id);
  journal_.add({{"customer", deleted}});
  customers_.put(deleted);
  billing_.cancel_all(std::string(id), now());
  billing_.emit("customer.deleted", customer, now());
  return {200, deleted};
}

// v2 answers errors in a shape of its own.
Reply Sandbox::core_event(const Call& call, std::string_view id) {
  const auto end = id.ends_with(kTwin) ? id.size() - kTwin.size() : id.size();
  const json* event = reports_.find(id.substr(0, end), now());
  if (call.method == "GET" && event != nullptr) {
    json shown = *event;
    shown["id"] = id;
    return {200, std::move(shown)};
  }
  return {404,
          {{"error", {{"code", "not_found"}, {"message", fmt::format("No such event: {}", id)}}}},
          Keep::kNo};
}

}  // namespace tally::sandbox
