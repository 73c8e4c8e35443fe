#include "tests/support/sandbox/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, FaultKind>, 8> kKinds = {{
    {"status_500", FaultKind::kStatus500},
    {"status_500_after", FaultKind::kStatus500After},
    {"status_503", FaultKind::kStatus503},
    {"status_429", FaultKind::kStatus429},
    {"status_409", FaultKind::kStatus409},
    {"drop_before", FaultKind::kDropBefore},
    {"drop_after", FaultKind::kDropAfter},
    {"delay_ms", FaultKind::kDelay},
}};

std::string_view name_of(FaultKind kind) {
  for (const auto& [name, known] : kKinds) {
    if (known == kind) return name;
  }
  return "none";
}

FaultKind kind_of(std::string_view name) {
  for (const auto& [known, kind] : kKinds) {
    if (known == name) return kind;
  }
  return FaultKind::kNone;
}

}  // namespace

Refused Faults::add(const json& wanted) {
  const json list = wanted.is_array() ? wanted : json::array({wanted});
  std::vector<Fault> parsed;
  for (const json& one : list) {
    if (!one.is_object()) return invalid_request("a fault is an object");
    Fault fault;
    fault.match = one.value("match", "");
    fault.kind = kind_of(one.value("kind", ""));
    fault.count = one.value("count", std::int64_t{1});
    fault.value = one.value("value", std::int64_t{0});
    fault.should_retry = one.value("should_retry", "absent");
    fault.limit_reason = one.value("limit_reason", "");
    fault.retry_after_s = one.value("retry_after_s", std::int64_t{0});
    if (fault.kind == FaultKind::kNone) {
      std::string known;
      for (const auto& [name, kind] : kKinds) known += fmt::format(" {}", name);
      return invalid_request("kind is one of:" + known, "", "kind");
    }
    if (fault.count < 1 || fault.value < 0 || fault.value > 600'000) {
      return invalid_request("count is at least 1, value from 0 to 600000", "", "count");
    }
    if (fault.should_retry == "absent") fault.should_retry.clear();
    parsed.push_back(std::move(fault));
  }
  faults_.insert(faults_.end(), parsed.begin(), parsed.end());
  return std::nullopt;
}

Fault Faults::strike(std::string_view path) {
  const auto found = std::find_if(faults_.begin(), faults_.end(), [&](const Fault& fault) {
    return path.find(fault.match) != std::string_view::npos;
  });
  if (found == faults_.end()) return {};
  Fault struck = *found;
  if (--found->count == 0) faults_.erase(found);
  return struck;
}

json Faults::shown() const {
  json rows = json::array();
  for (const Fault& fault : faults_) {
    rows.push_back({{"match", fault.match},
                    {"kind", name_of(fault.kind)},
                    {"count", fault.count},
                    {"value", fault.value},
                    {"should_retry", fault.should_retry.empty() ? "absent" : fault.should_retry}});
  }
  return {{"faults", std::move(rows)}};
}

Reply reply_of(const Fault& fault) {
  Reply reply;
  switch (fault.kind) {
    case FaultKind::kStatus500:
    case FaultKind::kStatus500After:
      reply = error_reply(500, "api_error", "An unknown error occurred.");
      reply.keep = Keep::kYes;
      break;
    case FaultKind::kStatus503:
      reply = {503, "<html><body>503 Service Unavailable</body></html>", Keep::kNo};
      reply.headers["Content-Type"] = "text/html";
      break;
    case FaultKind::kStatus429:
      reply = error_reply(429, "invalid_request_error", "Request rate limit exceeded.",
                          fault.limit_reason.empty() ? "lock_timeout" : "rate_limit");
      break;
    default:
      reply = error_reply(409, "invalid_request_error",
                          "Cannot create multiple usage events for the same customer, meter "
                          "concurrently.");
      break;
  }
  if (!fault.should_retry.empty()) reply.headers["Stripe-Should-Retry"] = fault.should_retry;
  if (!fault.limit_reason.empty()) {
    reply.headers["Stripe-Rate-Limited-Reason"] = fault.limit_reason;
  }
  if (fault.retry_after_s > 0) reply.headers["Retry-After"] = std::to_string(fault.retry_after_s);
  return reply;
}

}  // namespace tally::sandbox
