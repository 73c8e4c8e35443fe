#include "exporter/stripe/meter_events.h"

#include "core/decimal.h"
#include "core/stripe_meter.h"
#include "runtime/stripe/lists.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace tally::exporter::stripe {
namespace {

using runtime::http::percent_encode;
using Json = nlohmann::json;

// nullopt: the body is no meter event.
std::optional<std::string> identifier_in(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || json.value("object", Json()) != "billing.meter_event")
    return std::nullopt;
  const Json identifier = json.value("identifier", Json());
  return identifier.is_string() ? identifier.get<std::string>() : std::string();
}

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

}  // namespace

std::optional<std::vector<std::string>> summary_values_of(const std::string& body) {
  const Json list = Json::parse(body, nullptr, false);
  if (!list.is_object() || list.value("object", Json()) != "list") return std::nullopt;
  const auto data = list.find("data");
  if (data == list.end() || !data->is_array()) return std::nullopt;
  NumbersOf values("aggregated_value");
  if (!Json::sax_parse(body, &values) || values.numbers.size() != data->size()) return std::nullopt;
  return values.numbers;
}

std::string form_of(const MeterEvent& event) {
  return fmt::format("event_name={}&identifier={}&timestamp={}&payload[{}]={}&payload[{}]={}",
                     percent_encode(event.event_name), percent_encode(event.identifier),
                     event.timestamp_seconds, core::kStripeCustomerKey,
                     percent_encode(event.stripe_customer), core::kStripeValueKey,
                     percent_encode(event.value));
}

ApiAnswer answer_of(const runtime::stripe::Answer& answer) {
  ApiAnswer out;
  out.message = answer.message;
  if (answer.fate != runtime::http::Fate::kAnswered) {
    const bool not_sent = answer.fate == runtime::http::Fate::kNotSent;
    out.reply = not_sent ? Reply::kNotSent : Reply::kNoAnswer;
    return out;
  }
  out.reply = Reply::kAnswered;
  out.status = answer.status;
  out.request_id = answer.request_id;
  out.replayed = answer.is_replayed;
  out.rate_limited_reason = answer.rate_limited_reason;
  out.retry_after_seconds = answer.retry_after_seconds;
  out.should_retry = answer.should_retry;
  out.is_stripe_error = answer.is_stripe_error;
  out.error_type = answer.error_type;
  out.error_code = answer.error_code;
  if (answer.is_stripe_error) return out;
  out.identifier = identifier_in(answer.body);
  if (!out.identifier.has_value()) out.message = runtime::stripe::not_of_stripe(answer.body);
  return out;
}

ApiAnswer MeterEvents::send(const MeterEvent& event) {
  return answer_of(client_.post("/v1/billing/meter_events", form_of(event), event.idempotency_key));
}

std::vector<std::string> MeterEvents::meters_of(const std::string& event_name,
                                                std::string& problem) {
  const auto listing = runtime::stripe::list_meters(client_);
  problem = listing.problem;
  std::vector<std::string> ids;
  for (const core::StripeMeter& meter : listing.entries) {
    if (meter.event_name == event_name) ids.push_back(meter.id);
  }
  return ids;
}

MinuteReading MeterEvents::read_minute(const MinuteQuery& query) {
  MinuteReading reading;
  const std::vector<std::string> meters = meters_of(query.event_name, reading.problem);
  if (!reading.problem.empty()) return reading;
  std::optional<core::Decimal> sum;
  for (const std::string& meter : meters) {
    const auto answer = client_.get(
        fmt::format("/v1/billing/meters/{}/event_summaries?customer={}&start_time={}&end_time={}",
                    percent_encode(meter), percent_encode(query.stripe_customer),
                    query.start_seconds, query.start_seconds + 60));
    if (!answer.is_ok()) {
      reading.problem = runtime::stripe::problem_of(answer);
      return reading;
    }
    const auto values = summary_values_of(answer.body);
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
