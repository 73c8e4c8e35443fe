#include "tests/simulation/exporter/sim_stripe.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::simulation::exporting {
namespace {

using exporter::ApiAnswer;
using exporter::MeterEvent;
using exporter::Reply;

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kTimeoutUs = 30 * kSecondUs;
constexpr std::int64_t kMemoryUs = 86'400 * kSecondUs;
constexpr std::int64_t kOldestSeconds = 35 * 86'400;
constexpr std::int64_t kNewestSeconds = 300;
constexpr std::ptrdiff_t kMostDigits = 15;

ApiAnswer error(int status, std::string message) {
  ApiAnswer answer;
  answer.reply = Reply::kAnswered;
  answer.status = status;
  answer.is_stripe_error = status != 502;
  answer.error_type = status >= 500 ? "api_error" : "invalid_request_error";
  answer.message = std::move(message);
  return answer;
}

std::string parameters_of(const MeterEvent& event) {
  return fmt::format("{}|{}|{}|{}|{}", event.event_name, event.stripe_customer, event.value,
                     event.timestamp_seconds, event.identifier);
}

}  // namespace

struct SimStripe::Call {
  MeterEvent event;
  Fate fate = Fate::kAnswered;
  std::int64_t arrives_us = 0;
  std::int64_t takes_us = 0;
  bool answer_lost = false;
  bool answered = false;
  ApiAnswer answer;
};

bool SimStripe::strikes(std::int64_t per_mille, Event event) {
  if (!scheduler_.dice().per_mille(per_mille)) return false;
  coverage_.count(event);
  return true;
}

ApiAnswer SimStripe::send(const MeterEvent& event) {
  // Nobody else runs before the request is on its way: who is stopped later has sent it already.
  ApiAnswer nothing;
  nothing.reply = Reply::kNoAnswer;
  nothing.message = "timeout";
  if (outage == Outage::kNotConnected || strikes(rules.not_connected, Event::kNotConnected)) {
    scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(1, kSecondUs), {});
    nothing.reply = Reply::kNotSent;
    nothing.message = "connection refused";
    return nothing;
  }
  const auto call = std::make_shared<Call>();
  call->event = event;
  call->takes_us = scheduler_.dice().between(1'000, kSecondUs);
  call->arrives_us = scheduler_.now_us() + scheduler_.dice().between(100, 100'000);
  call->answer_lost =
      outage == Outage::kAnswersLost || strikes(rules.answer_lost, Event::kAnswerLost);
  if (strikes(rules.stored_500, Event::kStored500)) call->fate = Fate::kStored500;
  if (outage == Outage::kUnstored5xx || strikes(rules.unstored_5xx, Event::kUnstored5xx))
    call->fate = Fate::kUnstored5xx;
  if (strikes(rules.arrives_late, Event::kArrivedLate))
    call->arrives_us += kTimeoutUs + scheduler_.dice().between(0, 480 * kSecondUs);
  if (outage != Outage::kRequestsLost && !strikes(rules.request_lost, Event::kRequestLost)) {
    ++under_way_;
    scheduler_.spawn(nature_, [this, call] { carry(call); });
  }
  scheduler_.wait_until(scheduler_.now_us() + kTimeoutUs, [call] { return call->answered; });
  return call->answered ? call->answer : nothing;
}

exporter::MinuteReading SimStripe::read_minute(const exporter::MinuteQuery& query) {
  scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(1, kSecondUs), {});
  exporter::MinuteReading reading;
  if (outage != Outage::kNone || strikes(rules.reading_failed, Event::kReadingFailed)) {
    reading.problem = "timeout";
    return reading;
  }
  reading.answered = true;
  const core::Timestamp now = wall_clock(scheduler_);
  core::Decimal sum;
  bool any = false;
  for (const Taken& taken : taken_) {
    if (taken.shown_at > now || taken.event.event_name != query.event_name ||
        taken.event.stripe_customer != query.stripe_customer ||
        taken.event.timestamp_seconds / 60 * 60 != query.start_seconds)
      continue;
    any = true;
    sum = sum.checked_add(core::Decimal::parse(taken.event.value).value()).value();
  }
  coverage_.count(any ? Event::kReadPresent : Event::kReadAbsent);
  if (any || scheduler_.dice().one_in(2)) reading.value = sum.to_string();
  return reading;
}

void SimStripe::carry(const std::shared_ptr<Call>& call) {
  scheduler_.wait_until(call->arrives_us, {});
  const MeterEvent& event = call->event;
  if (auto refusal = refuse_unseen(event)) {
    call->answer = std::move(*refusal);
  } else {
    const std::pair<std::string, std::string> series{event.stripe_customer, event.event_name};
    keys_in_flight_.insert(event.idempotency_key);
    series_in_flight_.insert(series);
    // It is done at some moment in between.
    const std::int64_t ends_us = scheduler_.now_us() + call->takes_us;
    scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(0, call->takes_us), {});
    call->answer = execute(event, call->fate);
    scheduler_.wait_until(ends_us, {});
    keys_in_flight_.erase(event.idempotency_key);
    series_in_flight_.erase(series);
  }
  --under_way_;
  call->answered = !call->answer_lost;
}

// What is answered before anything is looked up or stored.
std::optional<ApiAnswer> SimStripe::refuse_unseen(const MeterEvent& event) {
  if (strikes(rules.key_refused, Event::kKeyRefused)) return error(401, "Invalid API Key provided");
  if (strikes(rules.rate_limited, Event::kRateLimited)) {
    ApiAnswer answer = error(429, "Request rate limit exceeded.");
    answer.rate_limited_reason = "global-rate";
    if (scheduler_.dice().one_in(3)) answer.retry_after_seconds = scheduler_.dice().between(1, 40);
    return answer;
  }
  if (strikes(rules.lock_timeout, Event::kLockTimeout)) {
    ApiAnswer answer = error(429, "This object cannot be accessed right now.");
    answer.error_code = "lock_timeout";
    answer.should_retry = true;
    return answer;
  }
  if (keys_in_flight_.contains(event.idempotency_key) ||
      series_in_flight_.contains({event.stripe_customer, event.event_name}) ||
      strikes(rules.conflict, Event::kConflict)) {
    ApiAnswer answer = error(409, "too many concurrent requests");
    if (scheduler_.dice().one_in(4)) answer.should_retry = false;
    return answer;
  }
  return std::nullopt;
}

std::optional<std::string> SimStripe::invalid(const MeterEvent& event) const {
  const std::int64_t now = wall_clock(scheduler_).seconds();
  if (event.timestamp_seconds < now - kOldestSeconds)
    return "The event timestamp cannot be more than 35 days in past.";
  if (event.timestamp_seconds > now + kNewestSeconds)
    return "The event timestamp is in the future.";
  std::string digits = event.value;
  std::erase_if(digits, [](char c) { return c < '0' || c > '9'; });
  digits.erase(0, digits.find_first_not_of('0'));
  if (std::ssize(digits) > kMostDigits) return "at most 15 digits";
  return std::nullopt;
}

ApiAnswer SimStripe::execute(const MeterEvent& event, Fate fate) {
  const core::Timestamp now = wall_clock(scheduler_);
  const auto stored = keys_.find(event.idempotency_key);
  if (stored != keys_.end() && now.micros() - stored->second.at.micros() < kMemoryUs) {
    if (stored->second.parameters != parameters_of(event)) {
      ApiAnswer answer = error(400, "Keys for idempotent requests can only be used once.");
      answer.error_type = "idempotency_error";
      return answer;
    }
    coverage_.count(Event::kReplayed);
    ApiAnswer answer = stored->second.answer;
    answer.replayed = true;
    return answer;
  }
  if (const auto reason = invalid(event)) return error(400, *reason);
  if (fate == Fate::kUnstored5xx) {
    if (scheduler_.dice().one_in(2)) (void)take(event);
    return error(scheduler_.dice().one_in(2) ? 502 : 503, "<html>bad gateway</html>");
  }
  ApiAnswer answer = process(event, fate);
  keys_[event.idempotency_key] = {parameters_of(event), answer, now};
  return answer;
}

ApiAnswer SimStripe::process(const MeterEvent& event, Fate fate) {
  if (fate == Fate::kStored500) {
    if (scheduler_.dice().one_in(2)) (void)take(event);
    return error(500, "An error occurred.");
  }
  return take(event);
}

ApiAnswer SimStripe::take(const MeterEvent& event) {
  const core::Timestamp now = wall_clock(scheduler_);
  const bool unknown = strikes(rules.meter_unknown, Event::kMeterUnknown);
  if (unknown || inactive.contains(event.event_name)) {
    coverage_.count(Event::kMeterInactive);
    return error(400,
                 fmt::format("No active meter found for event name \"{}\".", event.event_name));
  }
  const auto known = identifiers_.find(event.identifier);
  if (known != identifiers_.end()) {
    if (now.micros() - known->second.micros() < kMemoryUs) {
      coverage_.count(Event::kIdentifierKnown);
      ApiAnswer answer =
          error(400, fmt::format("An event already exists with identifier {}.", event.identifier));
      answer.should_retry = false;
      return answer;
    }
  }
  identifiers_[event.identifier] = now;
  scheduler_.note("Stripe takes {}: {}", event.identifier, event.value);
  if (!ever_.insert(event.identifier).second)
    scheduler_.broken(fmt::format("{} was counted twice", event.identifier));
  const std::int64_t lag_us = scheduler_.dice().between(0, rules.most_lag_seconds) * kSecondUs;
  taken_.push_back({event, now, core::Timestamp::from_micros(now.micros() + lag_us)});
  on_taken(event);
  ApiAnswer answer;
  answer.reply = Reply::kAnswered;
  answer.status = 200;
  answer.identifier = event.identifier;
  return answer;
}

}  // namespace tally::simulation::exporting
