#include "exporter/stripe/meter_events.h"

#include "core/text.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <charconv>

namespace tally::exporter::stripe {
namespace {

using runtime::http::percent_encode;
using Json = nlohmann::json;

constexpr std::size_t kShownBodyBytes = 120;
constexpr std::size_t kMaxRequestIdBytes = 100;

std::string header(const runtime::http::Headers& headers, std::string_view name) {
  return std::string(headers.get(name));
}

std::string text_of(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Only whole seconds are understood: Retry-After as a date is never seen from Stripe.
std::optional<std::int64_t> seconds_of(const std::string& text) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;
  return seconds;
}

void read_body(const std::string& body, ApiAnswer& answer) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object()) {
    const auto error = json.find("error");
    if (error != json.end() && error->is_object()) {
      answer.is_stripe_error = true;
      answer.error_type = text_of(*error, "type");
      answer.error_code = text_of(*error, "code");
      answer.message = text_of(*error, "message");
      return;
    }
    if (text_of(json, "object") == "billing.meter_event") {
      answer.identifier = text_of(json, "identifier");
      return;
    }
  }
  answer.message = "not an answer of Stripe: " + body.substr(0, kShownBodyBytes);
}

}  // namespace

bool is_loopback_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  std::string_view host = url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.find('@') != std::string_view::npos) return false;
  if (host.starts_with("[")) return host == "[::1]" || host.starts_with("[::1]:");
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

runtime::http::Request request_of(const MeterEvent& event, const std::string& key) {
  runtime::http::Request request;
  request.method = "POST";
  request.target = "/v1/billing/meter_events";
  request.headers = {{"Authorization", "Bearer " + key},
                     {"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"},
                     {"Stripe-Version", std::string(kStripeVersion)},
                     {"Idempotency-Key", event.idempotency_key}};
  request.body = fmt::format(
      "event_name={}&identifier={}&timestamp={}&payload[stripe_customer_id]={}&payload[value]={}",
      percent_encode(event.event_name), percent_encode(event.identifier), event.timestamp_seconds,
      percent_encode(event.stripe_customer), percent_encode(event.value));
  return request;
}

ApiAnswer answer_of(const runtime::http::Outcome& outcome) {
  ApiAnswer answer;
  if (outcome.fate != runtime::http::Fate::kAnswered) {
    const bool not_sent = outcome.fate == runtime::http::Fate::kNotSent;
    answer.reply = not_sent ? Reply::kNotSent : Reply::kNoAnswer;
    answer.message = outcome.problem;
    return answer;
  }
  const runtime::http::Headers& headers = outcome.response.headers;
  answer.reply = Reply::kAnswered;
  answer.status = outcome.response.status;
  answer.request_id = core::printable_ascii(header(headers, "Request-Id"), kMaxRequestIdBytes);
  answer.replayed = header(headers, "Idempotent-Replayed") == "true";
  answer.rate_limited_reason = header(headers, "Stripe-Rate-Limited-Reason");
  answer.retry_after_seconds = seconds_of(header(headers, "Retry-After"));
  const std::string should_retry = header(headers, "Stripe-Should-Retry");
  if (should_retry == "true" || should_retry == "false")
    answer.should_retry = should_retry == "true";
  read_body(outcome.response.body, answer);
  return answer;
}

ApiAnswer MeterEvents::send(const MeterEvent& event) {
  return answer_of(client_.send(request_of(event, endpoint_.key), endpoint_.timeout));
}

}  // namespace tally::exporter::stripe
