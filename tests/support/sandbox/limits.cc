#include "tests/support/sandbox/limits.h"

#include <algorithm>

namespace tally::sandbox {
namespace {

constexpr std::int64_t kReadSeconds = 30 * kDaySeconds;
constexpr std::size_t kTestPerSecond = 25;
constexpr std::size_t kLivePerSecond = 100;
constexpr std::size_t kLivePerEndpoint = 25;
constexpr std::size_t kLiveMeterEvents = 1'000;
constexpr std::size_t kLiveStreamed = 10'000;

// "GET /v1/billing/meters/{id}": one endpoint for all objects.
std::string endpoint_of(std::string_view method, std::string_view path) {
  std::string out(method);
  out += ' ';
  while (!path.empty()) {
    const auto end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    const bool is_id = segment.find("_test_") != std::string_view::npos ||
                       segment.starts_with("/cus_") || segment.starts_with("/evt_");
    out += is_id ? "/{id}" : segment;
    path.remove_prefix(end);
  }
  return out;
}

// Whether one more fits into the last second.
bool fits(std::deque<std::chrono::steady_clock::time_point>& window, std::size_t per_second,
          std::chrono::steady_clock::time_point at) {
  while (!window.empty() && at - window.front() >= std::chrono::seconds(1)) window.pop_front();
  return window.size() < per_second;
}

}  // namespace

Reply concurrent_call(Concurrency variant) {
  constexpr std::string_view kMessage =
      "Cannot create multiple usage events for the same customer, meter concurrently.";
  if (variant == Concurrency::kConflict) return error_reply(409, "invalid_request_error", kMessage);
  if (variant == Concurrency::kLockTimeout) {
    Reply reply = error_reply(429, "invalid_request_error",
                              "This object cannot be accessed right now because another API "
                              "request is currently accessing it.",
                              "lock_timeout");
    reply.headers["Stripe-Should-Retry"] = "true";
    return reply;
  }
  Reply reply = error_reply(429, "invalid_request_error", kMessage, "rate_limit");
  reply.headers["Stripe-Rate-Limited-Reason"] = "resource-specific";
  return reply;
}

Reply Limits::refuse(std::string_view reason, const Behaviour& behaviour) {
  ++refused_[std::string(reason)];
  Reply reply =
      error_reply(429, "invalid_request_error", "Request rate limit exceeded.", "rate_limit");
  reply.headers["Stripe-Rate-Limited-Reason"] = reason;
  if (behaviour.limiter_retry_after_s > 0) {
    reply.headers["Retry-After"] = std::to_string(behaviour.limiter_retry_after_s);
  }
  if (behaviour.limiter_should_retry != HeaderFlag::kAbsent) {
    reply.headers["Stripe-Should-Retry"] =
        behaviour.limiter_should_retry == HeaderFlag::kTrue ? "true" : "false";
  }
  return reply;
}

Refused Limits::admit_streamed(std::size_t events, const Behaviour& behaviour, Time at) {
  if (behaviour.rate_limits == RateLimits::kOff) return std::nullopt;
  if (behaviour.rate_limits == RateLimits::kTest) {
    if (!fits(global_, kTestPerSecond, at)) return refuse("global-rate", behaviour);
    global_.push_back(at);
    return std::nullopt;
  }
  const std::size_t count = behaviour.stream_rate == StreamRate::kEvents ? events : 1;
  if (!fits(streamed_, kLiveStreamed + 1 - count, at)) return refuse("endpoint-rate", behaviour);
  streamed_.insert(streamed_.end(), count, at);
  return std::nullopt;
}

Refused Limits::admit(std::string_view method, std::string_view path, const Behaviour& behaviour,
                      Time at) {
  calls_.erase(calls_.begin(), calls_.upper_bound(at));
  const auto bound = static_cast<std::size_t>(behaviour.concurrent_calls);
  if (bound > 0 && calls_.size() >= bound) return refuse("global-concurrency", behaviour);
  if (behaviour.rate_limits == RateLimits::kOff) return std::nullopt;
  if (behaviour.rate_limits == RateLimits::kTest) {
    if (!fits(global_, kTestPerSecond, at)) return refuse("global-rate", behaviour);
    global_.push_back(at);
    return std::nullopt;
  }
  const std::string endpoint = endpoint_of(method, path);
  const bool apart = endpoint == "POST /v1/billing/meter_events";
  Window& own = by_endpoint_[endpoint];
  if (!apart && !fits(global_, kLivePerSecond, at)) return refuse("global-rate", behaviour);
  if (!fits(own, apart ? kLiveMeterEvents : kLivePerEndpoint, at)) {
    return refuse("endpoint-rate", behaviour);
  }
  own.push_back(at);
  if (!apart) global_.push_back(at);
  return std::nullopt;
}

Refused Limits::occupy(const std::string& series, Concurrency variant, Time at, Time until) {
  std::erase_if(occupied_, [&](const auto& entry) { return entry.second <= at; });
  if (variant == Concurrency::kOff) return std::nullopt;
  if (occupied_.contains(series)) {
    ++refused_["same-series"];
    return concurrent_call(variant);
  }
  if (until > at) {
    occupied_[series] = until;
    ++series_held_;
  }
  return std::nullopt;
}

void Limits::count_read(std::int64_t now) {
  reads_.erase(reads_.begin(), reads_.upper_bound(now - kReadSeconds));
  ++reads_[now];
}

nlohmann::json Limits::shown(const Behaviour& behaviour, std::int64_t now, Time at) {
  calls_.erase(calls_.begin(), calls_.upper_bound(at));
  std::int64_t reads = 0;
  for (auto read = reads_.upper_bound(now - kReadSeconds); read != reads_.end(); ++read) {
    reads += read->second;
  }
  return {{"in_flight", calls_.size()},
          {"reads_30_days", reads},
          {"read_budget", behaviour.read_budget},
          {"reads_over_budget", std::max<std::int64_t>(0, reads - behaviour.read_budget)},
          {"refused", refused_},
          {"series_held", series_held_}};
}

}  // namespace tally::sandbox
