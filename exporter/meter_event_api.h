// The exporter's seam to Stripe: one meter event is sent, or one minute read, and what came back is
// folded to the few facts that the rules need. Implemented by exporter/stripe over HTTP, and by
// scripts in tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tally::exporter {

// The request, in full: everything was fixed when the row was born.
struct MeterEvent {
  std::string event_name;
  std::string stripe_customer;
  std::string value;
  std::int64_t timestamp_seconds = 0;
  std::string identifier;
  std::string idempotency_key;
};

// kNotSent: Stripe cannot have acted on it. kNoAnswer: sent in part or whole, and nothing
// intelligible came back in time. kTooLate: it was not tried, as its time was over.
enum class Reply { kAnswered, kNotSent, kNoAnswer, kTooLate };

struct ApiAnswer {
  Reply reply = Reply::kNotSent;
  int status = 0;                         // kAnswered
  std::optional<std::string> identifier;  // of a 200: the event that Stripe says it took
  bool is_stripe_error = false;           // the body is {"error":{…}}
  std::string error_type;                 // "invalid_request_error"
  std::string error_code;                 // often empty
  std::string message;                    // Stripe's text, or what went wrong on the way
  std::string request_id;
  bool replayed = false;             // Idempotent-Replayed: true
  std::optional<bool> should_retry;  // Stripe-Should-Retry
  std::optional<std::int64_t> retry_after_seconds;
  std::string rate_limited_reason;  // Stripe-Rate-Limited-Reason
};

// One minute of a customer and event name. `start_seconds` is a whole minute.
struct MinuteQuery {
  std::string event_name;
  std::string stripe_customer;
  std::int64_t start_seconds = 0;
};

struct MinuteReading {
  bool answered = false;             // false: `problem` says why not
  std::optional<std::string> value;  // a JSON number, as Stripe wrote it; nullopt: no event
  std::string problem;
  bool has_meter = true;  // answered: false: the account has no meter of that name, and no value
};

// One thread at a time; a lane owns one. Never throws for what the other side does.
class MeterEventApi {
 public:
  virtual ~MeterEventApi() = default;
  virtual ApiAnswer send(const MeterEvent& event) = 0;
  // What Stripe shows may lag behind what it took.
  virtual MinuteReading read_minute(const MinuteQuery& query) = 0;
};

}  // namespace tally::exporter
