#include "tests/support/sandbox/faults.h"

#include "tests/support/sandbox/draws.h"
#include "tests/support/sandbox/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxLaterMs = 600'000;
constexpr std::int64_t kHangMs = 60'000;  // longer than most clients wait

constexpr std::array kKinds = {
    FaultKind{"status_500", 500, false, Kept::kFault},
    FaultKind{"status_500_after", 500, true, Kept::kFault},
    FaultKind{"status_500_unstored", 500, false},
    FaultKind{"status_500_after_unstored", 500, true},
    FaultKind{"status_502", 502, false},
    FaultKind{"status_502_after", 502, true, Kept::kWork},
    FaultKind{"status_503", 503, false},
    FaultKind{"status_503_after", 503, true, Kept::kWork},
    FaultKind{"status_429", 429, false},
    FaultKind{"status_409", 409, false},
    FaultKind{"drop_before", 0, false, Kept::kNothing, Cut::kClose},
    FaultKind{"drop_after", 0, true, Kept::kWork, Cut::kClose},
    FaultKind{"reset_before", 0, false, Kept::kNothing, Cut::kReset},
    FaultKind{"reset_after", 0, true, Kept::kWork, Cut::kReset},
    FaultKind{"timeout_before", 0, false, Kept::kNothing, Cut::kHang},
    FaultKind{"timeout_after", 0, true, Kept::kWork, Cut::kHang},
    FaultKind{"delay_ms", 0, true, Kept::kWork},
    FaultKind{"html_after", 0, true, Kept::kWork, Cut::kNo, Garble::kHtml},
    FaultKind{"half_after", 0, true, Kept::kWork, Cut::kNo, Garble::kHalf},
    FaultKind{"reject_later", 0, true, Kept::kWork, Cut::kNo, Garble::kNo, true},
};

const FaultKind* kind_of(std::string_view name) {
  const auto* found = std::find_if(kKinds.begin(), kKinds.end(),
                                   [&](const FaultKind& kind) { return kind.name == name; });
  return found == kKinds.end() ? nullptr : found;
}

Refused unknown_member(const json& wanted, std::string_view frequency) {
  for (const auto& [name, value] : wanted.items()) {
    const bool known = name == frequency || name == "match" || name == "kind" || name == "value" ||
                       name == "should_retry" || name == "limit_reason" ||
                       name == "retry_after_s" || name == "code";
    if (!known) return invalid_request(fmt::format("a fault has no {} here", name), "", name);
  }
  return std::nullopt;
}

std::int64_t number(const json& wanted, const char* name, std::int64_t otherwise) {
  return wanted.contains(name) ? whole_number(wanted[name]) : otherwise;
}

// A member that would be taken and do nothing.
Refused idle_member(const Fault& fault) {
  const FaultKind& kind = *fault.kind;
  const bool headers = !fault.should_retry.empty() || fault.retry_after_s > 0;
  if (headers && kind.status == 0) {
    return invalid_request("should_retry and retry_after_s are of kinds with a status", "", "kind");
  }
  if (!fault.limit_reason.empty() && kind.status != 429) {
    return invalid_request("limit_reason is of status_429", "", "limit_reason");
  }
  if (!fault.code.empty() && !kind.rejects_later) {
    return invalid_request("code is of reject_later", "", "code");
  }
  if (kind.name == "delay_ms" && fault.value == 0) {
    return invalid_request("delay_ms has a value above 0", "", "value");
  }
  return std::nullopt;
}

// `frequency` is "count" or "rate". Throws json::exception when a member has another type.
Refused parse(const json& wanted, std::string_view frequency, Fault& fault) {
  if (!wanted.is_object()) return invalid_request("a fault is an object");
  if (auto refused = unknown_member(wanted, frequency)) return refused;
  fault.kind = kind_of(wanted.value("kind", ""));
  fault.match = wanted.value("match", "");
  fault.count = number(wanted, "count", 1);
  fault.rate = wanted.value("rate", 0.0);
  fault.value = number(wanted, "value", 0);
  fault.should_retry = wanted.value("should_retry", "");
  fault.limit_reason = wanted.value("limit_reason", "");
  fault.retry_after_s = number(wanted, "retry_after_s", 0);
  fault.code = wanted.value("code", "");
  if (fault.kind == nullptr) {
    std::string known;
    for (const FaultKind& kind : kKinds) known += fmt::format(" {}", kind.name);
    return invalid_request("kind is one of:" + known, "", "kind");
  }
  if (fault.count < 1 || fault.value < 0 || fault.value > kMaxLaterMs || fault.retry_after_s < 0) {
    return invalid_request("count is at least 1, value from 0 to 600000, retry_after_s at least 0");
  }
  if (!fault.should_retry.empty() && fault.should_retry != "true" &&
      fault.should_retry != "false" && fault.should_retry != "absent") {
    return invalid_request("should_retry is true, false or absent", "", "should_retry");
  }
  if (auto refused = idle_member(fault)) return refused;
  if (fault.kind->cut == Cut::kHang && fault.value == 0) fault.value = kHangMs;
  if (fault.kind->rejects_later && fault.code.empty()) fault.code = "meter_event_invalid_value";
  return std::nullopt;
}

json row_of(const Fault& fault) {
  return {{"match", fault.match},
          {"kind", fault.kind->name},
          {"value", fault.value},
          {"should_retry", fault.should_retry},
          {"limit_reason", fault.limit_reason},
          {"retry_after_s", fault.retry_after_s},
          {"code", fault.code}};
}

std::string html_page(std::string_view text) {
  return fmt::format("<html><body>{}</body></html>", text);
}

bool matches(const Fault& fault, std::string_view path) {
  return path.find(fault.match) != std::string_view::npos;
}

}  // namespace

Refused Faults::add(const json& wanted) {
  const json list = wanted.is_array() ? wanted : json::array({wanted});
  std::vector<Fault> parsed(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (auto refused = parse(list[i], "count", parsed[i])) return refused;
  }
  faults_.insert(faults_.end(), parsed.begin(), parsed.end());
  return std::nullopt;
}

Refused Faults::set_plan(const json& wanted) {
  const bool is_plan = wanted.is_object() && wanted.contains("seed") &&
                       wanted["seed"].is_number_unsigned() && wanted.contains("faults") &&
                       wanted["faults"].is_array();
  if (!is_plan) return invalid_request("a plan is {\"seed\": N, \"faults\": […]}");
  const std::uint64_t seed = wanted["seed"];
  const json& list = wanted["faults"];
  std::vector<Fault> parsed(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (auto refused = parse(list[i], "rate", parsed[i])) return refused;
    if (parsed[i].rate <= 0 || parsed[i].rate > 1) {
      return invalid_request("rate is above 0 and at most 1", "", "rate");
    }
  }
  clear_plan();
  plan_ = std::move(parsed);
  seed_ = seed;
  return std::nullopt;
}

void Faults::clear_plan() {
  plan_.clear();
  tries_.clear();
  seed_ = 0;
}

Fault Faults::strike(std::string_view path, const std::string& identity) {
  const auto found = std::find_if(faults_.begin(), faults_.end(),
                                  [&](const Fault& fault) { return matches(fault, path); });
  if (found != faults_.end()) {
    Fault struck = *found;
    if (--found->count == 0) faults_.erase(found);
    return struck;
  }
  if (plan_.empty()) return {};
  const std::uint64_t who = draw(seed_, identity);
  const std::uint32_t tries = tries_[who]++;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const std::string turn = fmt::format("{}|{}", i, who);
    const bool strikes = fraction_of(draw(seed_, turn, tries)) < plan_[i].rate;
    if (strikes && matches(plan_[i], path)) return plan_[i];
  }
  return {};
}

void Faults::note(const Fault& fault, bool took_effect) {
  if (fault) ++(took_effect ? struck_ : missed_)[std::string(fault.kind->name)];
}

json Faults::shown() const {
  json rows = json::array();
  for (const Fault& fault : faults_) {
    rows.push_back(row_of(fault));
    rows.back()["count"] = fault.count;
  }
  return {{"faults", std::move(rows)}};
}

json Faults::shown_plan() const {
  json rows = json::array();
  for (const Fault& fault : plan_) {
    rows.push_back(row_of(fault));
    rows.back()["rate"] = fault.rate;
  }
  return {{"seed", seed_}, {"faults", std::move(rows)}};
}

std::string garbled(Garble garble, const std::string& text) {
  switch (garble) {
    case Garble::kNo:
      return text;
    case Garble::kHtml:
      return html_page("Welcome");
    case Garble::kHalf:
      return text.substr(0, text.size() / 2);
  }
  return text;
}

Reply reply_of(const Fault& fault) {
  Reply reply;
  switch (fault.kind->status) {
    case 500:
      reply = error_reply(500, "api_error", "An unknown error occurred.");
      reply.keep = Keep::kYes;
      break;
    case 429:
      reply = fault.limit_reason.empty()
                  ? concurrent_call(Concurrency::kLockTimeout)
                  : error_reply(429, "invalid_request_error", "Request rate limit exceeded.",
                                "rate_limit");
      break;
    case 409:
      reply = concurrent_call(Concurrency::kConflict);
      break;
    case 502:
    case 503:
      reply = {
          fault.kind->status,
          html_page(fmt::format("{} {}", fault.kind->status,
                                fault.kind->status == 502 ? "Bad Gateway" : "Service Unavailable")),
          Keep::kNo};
      reply.headers["Content-Type"] = "text/html";
      break;
    default:
      reply.keep = Keep::kNo;  // nobody sees it: the connection ends
      break;
  }
  if (!fault.should_retry.empty()) reply.headers["Stripe-Should-Retry"] = fault.should_retry;
  if (fault.should_retry == "absent") reply.headers.erase("Stripe-Should-Retry");
  if (!fault.limit_reason.empty()) {
    reply.headers["Stripe-Rate-Limited-Reason"] = fault.limit_reason;
  }
  if (fault.retry_after_s > 0) reply.headers["Retry-After"] = std::to_string(fault.retry_after_s);
  return reply;
}

}  // namespace tally::sandbox
