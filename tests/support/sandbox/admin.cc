// What is below /sandbox: the sandbox's own, not Stripe's.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

namespace tally::sandbox {

using nlohmann::json;
namespace http = runtime::http;

Reply Sandbox::sandbox_call(const http::Request& request) {
  const std::string_view path = request.path();
  const bool reads = request.method == "GET";
  try {
    if (path == "/sandbox/clock") return clock_call(request);
    if (path == "/sandbox/settings") return settings_call(request);
    if (path == "/sandbox/faults" || path == "/sandbox/fault_plan") return faults_call(request);
    if (path == "/sandbox/customers" && !reads) return customers_call(request);
    if (path == "/sandbox/oracle/totals" && reads) return {200, books_.oracle_totals()};
    if (path == "/sandbox/oracle/events" && reads) return {200, books_.oracle_events()};
    if (path == "/sandbox/notifications" && reads) {
      return {200, {{"notifications", reports_.delivered()}}};
    }
    if (path == "/sandbox/counters" && reads) {
      json shown = limits_.shown(behaviour_, now(), options_.steady_now());
      shown["idempotency_keys"] = keys_.size();
      shown["faults"] = faults_.struck();
      return {200, std::move(shown)};
    }
  } catch (const json::exception& problem) {
    return invalid_request(fmt::format("the body is not what {} takes: {}", path, problem.what()));
  }
  return error_reply(404, "invalid_request_error",
                     "no such path: there are /sandbox/clock, settings, faults, fault_plan, "
                     "customers, notifications, counters, oracle/totals and oracle/events");
}

// {"now": T}: the clock stands at T · {"now": null}: the real one · {"advance_seconds": N}: N
// later, standing or running as before.
Reply Sandbox::clock_call(const http::Request& request) {
  if (request.method == "POST") {
    const json wanted = json::parse(request.body);
    if (wanted.contains("advance_seconds")) {
      const std::int64_t seconds = wanted["advance_seconds"];
      if (frozen_now_) {
        *frozen_now_ += seconds;
      } else {
        clock_offset_s_ += seconds;
      }
    } else if (wanted.at("now").is_null()) {
      frozen_now_.reset();
      clock_offset_s_ = 0;
    } else {
      frozen_now_ = wanted["now"].get<std::int64_t>();
    }
    journal_.add({{"clock",
                   {{"frozen", frozen_now_ ? json(*frozen_now_) : json(nullptr)},
                    {"offset", clock_offset_s_}}}});
    settle();
  }
  return {200, {{"now", now()}, {"frozen", frozen_now_.has_value()}}};
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

// {"id": "cus_mine"}: a customer of that id, which Stripe would choose itself.
Reply Sandbox::customers_call(const http::Request& request) {
  const std::string id = json::parse(request.body).at("id");
  if (id.empty() || id.find('/') != std::string::npos || customers_.knows(id)) {
    return invalid_request("id is new, not empty, and has no slash", "", "id");
  }
  const json customer = new_customer(id, now(), {});
  journal_.add({{"customer", customer}});
  customers_.put(customer);
  return {200, customer};
}

}  // namespace tally::sandbox
