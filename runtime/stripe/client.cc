#include "runtime/stripe/client.h"

#include "core/text.h"
#include "runtime/stripe/json_internal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace tally::runtime::stripe {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kHidden = "[hidden]";
constexpr std::size_t kShownBodyBytes = 120;
constexpr std::size_t kShownProblemBytes = 200;
constexpr std::size_t kMaxRequestIdBytes = 100;

std::string hidden(std::string text, std::string_view key) {
  if (key.empty()) return text;
  for (std::size_t at = text.find(key); at != std::string::npos;
       at = text.find(key, at + kHidden.size())) {
    text.replace(at, key.size(), kHidden);
  }
  return text;
}

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// JSON may escape what the body holds: its texts are looked at once more.
void read_error(Answer& answer, std::string_view key) {
  const Json json = Json::parse(answer.body, nullptr, false);
  const bool has_error = json.is_object() && json.contains("error") && json["error"].is_object();
  if (!has_error) {
    if (answer.status != 200) answer.message = not_of_stripe(answer.body);
    return;
  }
  const Json& error = json["error"];
  answer.is_stripe_error = true;
  answer.error_type = hidden(text_at(error, {"type"}), key);
  answer.error_code = hidden(text_at(error, {"code"}), key);
  answer.message = hidden(text_at(error, {"message"}), key);
}

http::Request request_with(const std::string& key) {
  http::Request request;
  request.headers = {{"Authorization", "Bearer " + key},
                     {"Accept", "application/json"},
                     {"Stripe-Version", std::string(kVersion)}};
  return request;
}

}  // namespace

std::string not_of_stripe(std::string_view body) {
  return fmt::format("not an answer of Stripe: {}", body.substr(0, kShownBodyBytes));
}

std::optional<core::Timestamp> parse_http_date(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT"
  constexpr std::size_t kBytes = 29;
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != kBytes || text.substr(3, 2) != ", " || text.substr(25) != " GMT")
    return std::nullopt;
  const auto month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
  if (month == kMonths.end()) return std::nullopt;
  // The rest is what RFC 3339 says in another order, and its reader knows the calendar.
  const auto time = core::parse_rfc3339(fmt::format("{}-{:02}-{}T{}Z", text.substr(12, 4),
                                                    month - kMonths.begin() + 1, text.substr(5, 2),
                                                    text.substr(17, 8)));
  if (!time) return std::nullopt;
  return time.value();
}

http::Request get_request(const std::string& target, const std::string& key) {
  http::Request request = request_with(key);
  request.method = "GET";
  request.target = target;
  return request;
}

http::Request post_request(const std::string& target, std::string form,
                           const std::string& idempotency_key, const std::string& key) {
  http::Request request = request_with(key);
  request.method = "POST";
  request.target = target;
  request.headers.add("Content-Type", "application/x-www-form-urlencoded");
  request.headers.add("Idempotency-Key", idempotency_key);
  request.body = std::move(form);
  return request;
}

Answer read_answer(http::Outcome outcome, std::string_view key) {
  Answer answer;
  answer.fate = outcome.fate;
  if (outcome.fate != http::Fate::kAnswered) {
    answer.message = hidden(std::move(outcome.problem), key);
    return answer;
  }
  const http::Headers& headers = outcome.response.headers;
  answer.status = outcome.response.status;
  answer.body = hidden(std::move(outcome.response.body), key);
  answer.request_id = core::printable_ascii(hidden(std::string(headers.get("Request-Id")), key),
                                            kMaxRequestIdBytes);
  answer.is_replayed = headers.get("Idempotent-Replayed") == "true";
  answer.rate_limited_reason = hidden(std::string(headers.get("Stripe-Rate-Limited-Reason")), key);
  // Only whole seconds are understood: Retry-After as a date is never seen from Stripe.
  answer.retry_after_seconds = number_of(headers.get("Retry-After"));
  answer.date = parse_http_date(headers.get("Date"));
  const std::string_view should_retry = headers.get("Stripe-Should-Retry");
  if (should_retry == "true" || should_retry == "false")
    answer.should_retry = should_retry == "true";
  read_error(answer, key);
  return answer;
}

std::string problem_of(const Answer& answer) {
  const std::string text = answer.fate == http::Fate::kAnswered
                               ? fmt::format("{} {}", answer.status, answer.message)
                               : answer.message;
  return core::printable_ascii(text, kShownProblemBytes);
}

Answer Client::get(const std::string& target) {
  return read_answer(client_.send(get_request(target, endpoint_.key), endpoint_.timeout),
                     endpoint_.key);
}

Answer Client::post(const std::string& target, const std::string& form,
                    const std::string& idempotency_key) {
  return read_answer(
      client_.send(post_request(target, form, idempotency_key, endpoint_.key), endpoint_.timeout),
      endpoint_.key);
}

}  // namespace tally::runtime::stripe
