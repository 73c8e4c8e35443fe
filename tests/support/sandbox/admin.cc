// What is below /sandbox: the sandbox's own, not Stripe's.
#include "tests/support/sandbox/billing_oracle.h"
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

#include <limits>
#include <set>

namespace tally::sandbox {

using nlohmann::json;
namespace http = runtime::http;

namespace {

constexpr std::int64_t kLastMoment = 253'402'300'799;  // the last second of the year 9999

constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

Reply no_such_path() {
  return error_reply(404, "invalid_request_error",
                     "no such path: there are /sandbox/clock, settings, faults, fault_plan, "
                     "customers, subscriptions, invoices, webhook_endpoints, webhook_secret, "
                     "webhook_faults, deliveries, notifications, counters, oracle/totals, "
                     "oracle/events, oracle/periods and oracle/billing");
}

}  // namespace

Reply Sandbox::sandbox_call(const http::Request& request) {
  const std::string_view path = request.path();
  const bool reads = request.method == "GET";
  const Form query = Form::parse(query_of(request));
  const bool lists = path.starts_with("/sandbox/oracle/") || path == "/sandbox/notifications" ||
                     path == "/sandbox/deliveries";
  try {
    if (!lists) {
      if (auto refused = query.check_empty()) return *refused;
    }
    if (path == "/sandbox/clock") return clock_call(request);
    if (path == "/sandbox/settings") return settings_call(request);
    if (path == "/sandbox/faults" || path == "/sandbox/fault_plan") return faults_call(request);
    if (path == "/sandbox/customers" && !reads) return customers_call(request);
    if (path == "/sandbox/subscriptions" || path == "/sandbox/invoices") return fate_call(request);
    if (path.starts_with("/sandbox/webhook_")) return webhooks_call(request);
    if (lists && reads) return oracle_call(path, query);
    if (path == "/sandbox/counters" && reads) {
      json shown = limits_.shown(behaviour_, now(), options_.steady_now());
      shown["idempotency_keys"] = keys_.size();
      shown["faults"] = faults_.struck();
      shown["webhooks"] = webhooks_.counters(now());
      shown["faults_missed"] = faults_.missed();
      return {200, std::move(shown)};
    }
  } catch (const json::exception& problem) {
    return invalid_request(fmt::format("the body is not what {} takes: {}", path, problem.what()));
  }
  return no_such_path();
}

// What was counted, what came and what was reported: each may be asked for in part.
Reply Sandbox::oracle_call(std::string_view path, const Form& query) {
  if (path == "/sandbox/oracle/totals") {
    if (auto refused = query.check({{"start"}, {"end"}})) return *refused;
    std::optional<std::int64_t> start;
    Span span;
    if (auto refused = query.integer("start", start)) return *refused;
    if (auto refused = query.integer("end", span.end)) return *refused;
    span.start = start.value_or(span.start);
    return {200, books_.oracle_totals(span)};
  }
  if (path == "/sandbox/oracle/periods") {
    if (auto refused = query.check({{"customer"}, {"invoice"}})) return *refused;
    return {200, oracle_periods(books_, documents_, query.get("customer"), query.get("invoice"))};
  }
  if (path == "/sandbox/oracle/billing") {
    if (auto refused = query.check_empty()) return *refused;
    return {200, oracle_billing(books_, documents_)};
  }
  if (auto refused = query.check({{"from"}, {"limit"}})) return *refused;
  std::optional<std::int64_t> from;
  std::optional<std::int64_t> limit;
  if (auto refused = query.integer("from", from)) return *refused;
  if (auto refused = query.integer("limit", limit)) return *refused;
  if (from.value_or(0) < 0 || limit.value_or(1) < 1) {
    return invalid_request("from is at least 0, limit at least 1");
  }
  const auto first = static_cast<std::size_t>(from.value_or(0));
  const auto count = static_cast<std::size_t>(limit.value_or(kAll));
  if (path == "/sandbox/oracle/events") return {200, books_.oracle_events(first, count)};
  if (path == "/sandbox/deliveries") {
    json rows = json::array();
    std::size_t position = 0;
    for (const auto& [id, delivery] : documents_.all("delivery")) {
      if (position++ < first || rows.size() >= count) continue;
      rows.push_back(delivery);
      rows.back().erase("sandbox");
    }
    return {200, {{"deliveries", std::move(rows)}}};
  }
  if (path == "/sandbox/notifications") {
    return {200, {{"notifications", reports_.delivered(first, count)}}};
  }
  return no_such_path();
}

// {"now": T}: the clock stands at T · {"now": null}: the real one · {"advance_seconds": N}: N
// later, standing or running as before.
Reply Sandbox::clock_call(const http::Request& request) {
  if (request.method == "POST") {
    const json wanted = json::parse(request.body);
    if (auto refused = set_clock(wanted)) return *refused;
    journal_.add({{"clock",
                   {{"frozen", frozen_now_ ? json(*frozen_now_) : json(nullptr)},
                    {"offset", clock_offset_s_}}}});
    settle();
  }
  return {200, {{"now", now()}, {"frozen", frozen_now_.has_value()}}};
}

Refused Sandbox::set_clock(const json& wanted) {
  const Refused refused = invalid_request(
      fmt::format("one member, in whole seconds: now (or null) or advance_seconds; the clock goes "
                  "from 0 to {}",
                  kLastMoment));
  if (!wanted.is_object() || wanted.size() != 1) return refused;
  const bool advances = wanted.contains("advance_seconds");
  const json& given = advances ? wanted["advance_seconds"] : wanted.at("now");
  if (given.is_null() && !advances) {
    frozen_now_.reset();
    clock_offset_s_ = 0;
    return std::nullopt;
  }
  const std::int64_t seconds = whole_number(given);
  // Far from overflow: both are below 10^12.
  const bool near = seconds >= -kLastMoment && seconds <= kLastMoment;
  const std::int64_t next = advances && near ? now() + seconds : seconds;
  if (!near || next < 0 || next > kLastMoment) return refused;
  if (frozen_now_ || !advances) {
    frozen_now_ = next;
  } else {
    clock_offset_s_ += seconds;
  }
  return std::nullopt;
}

Reply Sandbox::settings_call(const http::Request& request) {
  if (request.method == "POST") {
    const json wanted = json::parse(request.body);
    if (auto refused = behaviour_.change(wanted)) return *refused;
    journal_.add({{"settings", wanted}});
  }
  return {200, behaviour_.shown()};
}

Reply Sandbox::faults_call(const http::Request& request) {
  const bool plan = request.path() == "/sandbox/fault_plan";
  if (request.method == "DELETE") plan ? faults_.clear_plan() : faults_.clear();
  if (request.method == "POST") {
    const json wanted = json::parse(request.body);
    if (auto refused = plan ? faults_.set_plan(wanted) : faults_.add(wanted)) return *refused;
  }
  return {200, plan ? faults_.shown_plan() : faults_.shown()};
}

// {"id": "cus_mine"} or {"ids": […]}: customers of those ids, which Stripe would choose itself. Who
// is there already stays; refused whole when an id is none or its customer was deleted.
Reply Sandbox::customers_call(const http::Request& request) {
  const json wanted = json::parse(request.body);
  const std::vector<std::string> ids =
      wanted.contains("ids") ? wanted["ids"].get<std::vector<std::string>>()
                             : std::vector<std::string>{wanted.at("id").get<std::string>()};
  for (const std::string& id : ids) {
    const bool gone = customers_.knows(id) && !customers_.exists(id);
    if (id.empty() || id.find('/') != std::string::npos || gone) {
      return invalid_request("an id is not empty, has no slash, and was not deleted", "", "id");
    }
  }
  for (const std::string& id : ids) {
    if (customers_.knows(id)) continue;
    const json customer = new_customer(id, now(), {});
    journal_.add({{"customer", customer}});
    customers_.put(customer);
  }
  return {200, {{"ids", ids}}};
}

// {"subscription": id, "status": "past_due"}: what Stripe would make of it in its own time ·
// {"invoice": id, "outcome": "paid" or "payment_failed"}, of an open one.
Reply Sandbox::fate_call(const http::Request& request) {
  if (request.method != "POST") return no_such_path();
  const json wanted = json::parse(request.body);
  billing_.set_cause(nullptr);
  if (request.path() == "/sandbox/subscriptions") {
    static const std::set<std::string> kStatuses = {
        "incomplete", "incomplete_expired", "active", "past_due", "unpaid", "paused"};
    const std::string id = wanted.at("subscription");
    const std::string status = wanted.at("status");
    const json* subscription = documents_.find("subscription", id);
    if (subscription == nullptr) return no_such("subscription", id);
    if ((*subscription)["status"] == "canceled" || !kStatuses.contains(status)) {
      return invalid_request(
          "a status of Stripe's other than canceled and trialing, of what is not canceled");
    }
    billing_.set_status(id, status, now());
    return {200, {{"subscription", id}, {"status", status}}};
  }
  const std::string id = wanted.at("invoice");
  const std::string outcome = wanted.at("outcome");
  const json* invoice = documents_.find("invoice", id);
  if (invoice == nullptr) return no_such("invoice", id);
  const bool pays = outcome == "paid";
  if ((*invoice)["status"] != "open" || (!pays && outcome != "payment_failed")) {
    return invalid_request("paid or payment_failed, of an invoice that is open");
  }
  pays ? billing_.pay(id, now()) : billing_.fail_payment(id, now());
  return {200, {{"invoice", id}, {"outcome", outcome}}};
}

}  // namespace tally::sandbox
