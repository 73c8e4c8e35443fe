// What of the sandbox can be switched: what Stripe leaves open, what differs between accounts, and
// what a drill needs. Defaults are the harder ones for a client; README.md names those that are
// not.
#pragma once

#include "tests/support/sandbox/reply.h"

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tally::sandbox {

constexpr std::int64_t kDaySeconds = 86'400;
// Stripe promises "at least 24 hours"; here it is exactly that unless told otherwise, so that a
// later blind resend really bills twice.
constexpr std::int64_t kIdentifierSeconds = kDaySeconds;
constexpr std::string_view kApiVersion = "2026-08-26.dahlia";
// "2026-08-26.dahlia", "2024-06-20".
[[nodiscard]] bool is_version(std::string_view text);

enum class IdentifierScope { kAccount, kEventName };
// What becomes of the identifier of an event that was rejected later or cancelled.
enum class SpentIdentifiers { kBurnt, kFreed };
enum class UnknownCustomers { kAccept, kReject };
enum class ValueRule { kDecimal, kInteger, kPositiveInteger };
// The answer to a second call at once for one customer and meter.
enum class Concurrency { kConflict, kLockTimeout, kRateLimited, kOff };
enum class RateLimits { kOff, kTest, kLive };
enum class Arithmetic { kExact, kDoubles };
enum class ErrorRequest { kIdentifier, kIdempotencyKey };
// What becomes of an invoice when it is finalized and something is to be paid.
enum class Payments { kSucceed, kFail, kManual };
// How often a delivery is tried again: for three days, or three times within hours.
enum class WebhookRetries { kLive, kTest };
// What of the stream the limit of 10,000 a second counts.
enum class StreamRate { kEvents, kRequests };
enum class HeaderFlag { kAbsent, kTrue, kFalse };

// What is judged of an event. Each is judged at once (a 400) or later (a report).
enum class Check { kMeter, kPayload, kValue, kTimestamp, kCustomer };
constexpr std::size_t kChecks = 5;

// Plain value; README.md has a line for each member, which has the name of its setting.
struct Behaviour {
  std::int64_t answer_delay_ms = 20;
  std::int64_t identifier_window_s = kIdentifierSeconds;
  std::int64_t apply_delay_min_s = 0;
  std::int64_t apply_delay_max_s = 30;
  std::int64_t seed = 1;
  std::int64_t error_samples = 5;
  std::int64_t concurrent_calls = 0;
  std::int64_t limiter_retry_after_s = 0;
  std::int64_t read_budget = 10'000;
  std::int64_t grace_s = 3'600;
  std::int64_t update_grace_s = 0;
  bool version_echo = true;
  bool zero_lines = true;
  bool count_needs_value = true;
  bool cancel_preaggregated = false;
  IdentifierScope identifier_scope = IdentifierScope::kAccount;
  SpentIdentifiers spent_identifiers = SpentIdentifiers::kBurnt;
  UnknownCustomers unknown_customers = UnknownCustomers::kReject;
  ValueRule values = ValueRule::kDecimal;
  Concurrency concurrency = Concurrency::kConflict;
  RateLimits rate_limits = RateLimits::kLive;
  Arithmetic summary_arithmetic = Arithmetic::kDoubles;
  Arithmetic invoice_arithmetic = Arithmetic::kDoubles;
  ErrorRequest error_request = ErrorRequest::kIdempotencyKey;
  WebhookRetries webhook_retries = WebhookRetries::kLive;
  StreamRate stream_rate = StreamRate::kEvents;
  Payments payments = Payments::kSucceed;
  std::string api_version = std::string(kApiVersion);
  std::string account;  // "": one is drawn when the first request comes
  HeaderFlag limiter_should_retry = HeaderFlag::kAbsent;
  std::array<bool, kChecks> async_checks = {false, false, false, false, true};
  std::map<std::string, std::string> error_codes = {};

  [[nodiscard]] bool later(Check check) const {
    return async_checks[static_cast<std::size_t>(check)];
  }
  // The code that is shown for `code`, which is another where error_codes says so.
  [[nodiscard]] const std::string& shown_code(const std::string& code) const {
    const auto other = error_codes.find(code);
    return other == error_codes.end() ? code : other->second;
  }
  [[nodiscard]] nlohmann::json shown() const;
  // Takes over the members that `wanted` names; refused whole when a name or a value is none.
  [[nodiscard]] Refused change(const nlohmann::json& wanted);
};

}  // namespace tally::sandbox
