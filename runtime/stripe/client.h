// Stripe's HTTP face: requests written, answers read, nothing decided.
#pragma once

#include "core/timestamp.h"
#include "runtime/http/client.h"
#include "runtime/stripe/endpoint.h"

#include <cstdint>
#include <optional>
#include <string>

namespace tally::runtime::stripe {

// What came back. But for `fate` and `message` nothing is set unless the fate is kAnswered.
struct Answer {
  http::Fate fate = http::Fate::kNotSent;
  int status = 0;
  bool is_stripe_error = false;  // the body is {"error":{…}}
  std::string error_type;        // "invalid_request_error"
  std::string error_code;        // often empty
  std::string message;           // Stripe's text of an error, or what went wrong on the way
  std::string request_id;
  bool is_replayed = false;          // Idempotent-Replayed: true
  std::optional<bool> should_retry;  // Stripe-Should-Retry
  std::optional<std::int64_t> retry_after_seconds;
  std::string rate_limited_reason;  // Stripe-Rate-Limited-Reason
  std::optional<core::Timestamp> date;
  std::string body;
  [[nodiscard]] bool is_ok() const { return fate == http::Fate::kAnswered && status == 200; }
};

[[nodiscard]] http::Request get_request(const std::string& target, const std::string& key);
// `form` is application/x-www-form-urlencoded; the same idempotency key has the same form.
[[nodiscard]] http::Request post_request(const std::string& target, std::string form,
                                         const std::string& idempotency_key,
                                         const std::string& key);
// Wherever the key stands in it, "[hidden]" stands in the answer; so texts may be cut afterwards.
[[nodiscard]] Answer read_answer(http::Outcome outcome, std::string_view key);
// Of an answer that is not the wanted one, for people: its status and text; printable ASCII.
[[nodiscard]] std::string problem_of(const Answer& answer);
// "not an answer of Stripe: " and the body's beginning.
[[nodiscard]] std::string not_of_stripe(std::string_view body);
// "Sun, 06 Nov 1994 08:49:37 GMT", as Date headers say it; nullopt: another form, or no such day.
[[nodiscard]] std::optional<core::Timestamp> parse_http_date(std::string_view text);

// One thread at a time. Never throws for what the other side does.
class Api {
 public:
  Api() = default;
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  virtual ~Api() = default;
  // `target` is a path with its query: "/v1/billing/meters?limit=100".
  virtual Answer get(const std::string& target) = 0;
  virtual Answer post(const std::string& target, const std::string& form,
                      const std::string& idempotency_key) = 0;
};

// Over HTTP. Each call is one request; nothing is tried again.
class Client final : public Api {
 public:
  // Throws std::invalid_argument when the URL is none.
  explicit Client(Endpoint endpoint) : endpoint_(std::move(endpoint)), client_(endpoint_.url) {}
  Answer get(const std::string& target) override;
  Answer post(const std::string& target, const std::string& form,
              const std::string& idempotency_key) override;

 private:
  Endpoint endpoint_;
  http::Client client_;
};

}  // namespace tally::runtime::stripe
