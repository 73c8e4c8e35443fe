// Faults that a test asks for: the next N matching requests go wrong in one way. One thread at a
// time.
#pragma once

#include "tests/support/sandbox/reply.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally::sandbox {

enum class FaultKind {
  kNone,
  kStatus500,       // the endpoint fails before it did anything; kept under the idempotency key
  kStatus500After,  // the endpoint did its work and then failed; kept too
  kStatus503,       // a proxy's HTML page; nothing done, nothing kept
  kStatus429,       // refused by the limiter; nothing done, nothing kept
  kStatus409,       // refused as concurrent; nothing done, nothing kept
  kDropBefore,      // the connection dies before anything is done
  kDropAfter,       // everything is done, the answer is lost
  kDelay            // the answer comes `value` milliseconds later
};

struct Fault {
  std::string match;  // part of the path; "" matches all
  FaultKind kind = FaultKind::kNone;
  std::int64_t count = 1;
  std::int64_t value = 0;
  std::string should_retry;        // "true", "false" or "" (header absent)
  std::string limit_reason;        // status_429: Stripe-Rate-Limited-Reason; "" absent
  std::int64_t retry_after_s = 0;  // status_429 and status_503: Retry-After; 0 absent
};

class Faults {
 public:
  // One object or an array of them; refused whole when one is wrong.
  [[nodiscard]] Refused add(const nlohmann::json& wanted);
  void clear() { faults_.clear(); }
  // The first fault that matches, used up by one. kNone when there is none.
  [[nodiscard]] Fault strike(std::string_view path);
  [[nodiscard]] nlohmann::json shown() const;

 private:
  std::vector<Fault> faults_;
};

// The answer that a status fault gives instead of the endpoint's.
[[nodiscard]] Reply reply_of(const Fault& fault);

}  // namespace tally::sandbox
