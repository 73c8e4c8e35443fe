#include "exporter/stripe/meter_events.h"

#include "core/decimal.h"
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
constexpr int kMostMeterPages = 20;  // of 100 meters

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

namespace {

// Collects the numbers of one member as they are written: a double would round them.
class NumbersOf final : public nlohmann::json_sax<Json> {
 public:
  explicit NumbersOf(std::string member) : member_(std::move(member)) {}
  std::vector<std::string> numbers;

  bool key(string_t& name) override {
    wanted_ = name == member_;
    return true;
  }
  bool number_integer(number_integer_t value) override { return take(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return take(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return take(text); }
  bool null() override { return take({}); }
  bool boolean(bool) override { return take({}); }
  bool string(string_t&) override { return take({}); }
  bool binary(binary_t&) override { return take({}); }
  bool start_object(std::size_t) override { return take({}); }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return take({}); }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
    return false;
  }

 private:
  bool take(const std::string& number) {
    if (wanted_ && !number.empty()) numbers.push_back(number);
    wanted_ = false;
    return true;
  }
  std::string member_;
  bool wanted_ = false;
};

// The members of a list of Stripe's. nullopt: not a list.
std::optional<Json> list_of(const std::string& body) {
  Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || text_of(json, "object") != "list") return std::nullopt;
  if (!json.contains("data") || !json["data"].is_array()) return std::nullopt;
  return json;
}

}  // namespace

std::optional<MeterPage> meter_page_of(const std::string& body, std::string_view event_name) {
  const auto list = list_of(body);
  if (!list.has_value()) return std::nullopt;
  MeterPage page;
  std::string last;
  for (const Json& meter : (*list)["data"]) {
    if (!meter.is_object()) return std::nullopt;
    last = text_of(meter, "id");
    if (text_of(meter, "event_name") == event_name) page.ids.push_back(last);
  }
  const auto more = list->find("has_more");
  if (more != list->end() && *more == true) page.more_after = last;
  return page;
}

std::optional<std::vector<std::string>> summary_values_of(const std::string& body) {
  const auto list = list_of(body);
  if (!list.has_value()) return std::nullopt;
  NumbersOf values("aggregated_value");
  if (!Json::sax_parse(body, &values) || values.numbers.size() != (*list)["data"].size())
    return std::nullopt;
  return values.numbers;
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

std::string MeterEvents::get(const std::string& target, std::string& problem) {
  runtime::http::Request request;
  request.method = "GET";
  request.target = target;
  request.headers = {{"Authorization", "Bearer " + endpoint_.key},
                     {"Accept", "application/json"},
                     {"Stripe-Version", std::string(kStripeVersion)}};
  const runtime::http::Outcome outcome = client_.send(request, endpoint_.timeout);
  if (outcome.fate != runtime::http::Fate::kAnswered) {
    problem = outcome.problem;
    return {};
  }
  if (outcome.response.status == 200) return outcome.response.body;
  const ApiAnswer answer = answer_of(outcome);
  problem = core::printable_ascii(fmt::format("{} {}", answer.status, answer.message), 200);
  return {};
}

std::vector<std::string> MeterEvents::meters_of(const std::string& event_name,
                                                std::string& problem) {
  std::vector<std::string> ids;
  std::string after;
  for (int pages = 0; pages < kMostMeterPages; ++pages) {
    const std::string body =
        get("/v1/billing/meters?limit=100" +
                (after.empty() ? "" : "&starting_after=" + percent_encode(after)),
            problem);
    if (!problem.empty()) return {};
    const auto page = meter_page_of(body, event_name);
    if (!page.has_value()) {
      problem = "not a list of meters";
      return {};
    }
    ids.insert(ids.end(), page->ids.begin(), page->ids.end());
    if (page->more_after.empty()) return ids;
    after = page->more_after;
  }
  problem = fmt::format("more than {} meters", kMostMeterPages * 100);
  return {};
}

MinuteReading MeterEvents::read_minute(const MinuteQuery& query) {
  MinuteReading reading;
  const std::vector<std::string> meters = meters_of(query.event_name, reading.problem);
  if (!reading.problem.empty()) return reading;
  std::optional<core::Decimal> sum;
  for (const std::string& meter : meters) {
    const std::string body = get(
        fmt::format("/v1/billing/meters/{}/event_summaries?customer={}&start_time={}&end_time={}",
                    percent_encode(meter), percent_encode(query.stripe_customer),
                    query.start_seconds, query.start_seconds + 60),
        reading.problem);
    if (!reading.problem.empty()) return reading;
    const auto values = summary_values_of(body);
    if (!values.has_value()) {
      reading.problem = "not a list of event summaries";
      return reading;
    }
    for (const std::string& value : *values) {
      const auto number = core::Decimal::parse(value);
      if (number) sum = sum.value_or(core::Decimal()).checked_add(number.value());
      if (!number || !sum.has_value()) {
        reading.problem = "a summary that cannot be read: " + value;
        return reading;
      }
    }
  }
  reading.answered = true;
  reading.has_meter = !meters.empty();
  if (sum.has_value()) reading.value = sum->to_string();
  return reading;
}

}  // namespace tally::exporter::stripe
