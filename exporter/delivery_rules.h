// What an answer of Stripe means for a row: the table of STRIPE.md as one pure function.
//
//   answer                                       verdict          may have been applied
//   200 that names our identifier                delivered
//   "already exists with identifier"             duplicate        (= delivered)
//   401, 403, 3xx                                stop all
//   idempotency_error                            held
//   other 4xx, Stripe's own error                rejected         (uncertain after an unknown send)
//   409, 429                                     retry            no
//   no connection                                retry            no
//   5xx, timeout, reset, unintelligible          retry            yes
//   5xx with Idempotent-Replayed                 retry, new key   yes
//   Stripe-Should-Retry: true  on a 4xx          retry            no
//   Stripe-Should-Retry: false on a retry        next cycle
#pragma once

#include "exporter/meter_event_api.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::exporter {

// Stripe forgets an identifier after 24 h; an hour before that a row of unknown outcome is no
// longer sent.
inline constexpr std::int64_t kBlindResendSeconds = 23 * 3'600;

enum class Verdict {
  kDelivered,
  kDuplicate,  // delivered by an earlier send
  kRejected,
  kHeld,
  kUncertain,
  kRetry,
  kStop,  // nothing more may be sent until a person has acted
};

struct Decision {
  Verdict verdict = Verdict::kRetry;
  bool maybe_applied = false;  // kRetry: this send may have been counted
  bool new_key = false;        // kRetry: with a new Idempotency-Key, the same identifier
  bool next_cycle = false;     // kRetry: not again in this cycle
  bool not_this_row = false;   // kRetry: the trouble is with the other side as a whole
  std::optional<std::int64_t> wait_seconds;  // Retry-After
  std::string reason;                        // for people; never holds the key
};

// What became of the sends of a row before this one. kUnknown: at least one may have been counted,
// or may still be on its way.
enum class Before { kNoneArrived, kUnknown };

[[nodiscard]] Decision decide(const ApiAnswer& answer, std::string_view identifier, Before before);

}  // namespace tally::exporter
