#include "exporter/delivery_rules.h"

#include "core/text.h"

#include <fmt/core.h>

namespace tally::exporter {
namespace {

constexpr std::size_t kMaxReasonBytes = 500;

std::string describe(const ApiAnswer& answer) {
  std::string text =
      answer.status == 0 ? answer.message : fmt::format("{} {}", answer.status, answer.message);
  if (!answer.error_code.empty()) text += " [" + answer.error_code + "]";
  if (!answer.rate_limited_reason.empty()) text += " [" + answer.rate_limited_reason + "]";
  return core::printable_ascii(text,
                               kMaxReasonBytes);  // whatever stood between us and Stripe said it
}

bool is_duplicate(const ApiAnswer& answer, std::string_view identifier) {
  if (answer.status != 400 || !answer.is_stripe_error) return false;
  if (answer.error_code == "duplicate_meter_event") return true;
  return answer.message.find("already exists with identifier") != std::string::npos &&
         answer.message.find(identifier) != std::string::npos;
}

Decision retry(const ApiAnswer& answer) {
  Decision decision;
  decision.reason = describe(answer);
  decision.wait_seconds = answer.retry_after_seconds;
  decision.next_cycle = answer.should_retry == false;
  return decision;
}

Decision unknown(const ApiAnswer& answer) {
  Decision decision = retry(answer);
  decision.maybe_applied = true;
  return decision;
}

Decision refused(const ApiAnswer& answer, Before before) {
  // The refusal tells of this send alone. An earlier one may have been counted without a stored
  // result (a 502, a key that changed), or may arrive when the cause of the refusal is gone.
  if (before == Before::kUnknown) {
    return {Verdict::kUncertain,
            true,
            false,
            false,
            false,
            {},
            "refused, but an earlier send may have been taken: " + describe(answer)};
  }
  return {Verdict::kRejected, false, false, false, false, {}, describe(answer)};
}

Decision on_client_error(const ApiAnswer& answer, Before before) {
  // A page of something in between: the event may have passed it before the answer was made up.
  if (!answer.is_stripe_error) return unknown(answer);
  if (answer.status == 409) return retry(answer);
  if (answer.status == 429) {
    Decision decision = retry(answer);
    decision.not_this_row = !answer.rate_limited_reason.empty();
    return decision;
  }
  if (answer.error_type == "idempotency_error") {
    return {Verdict::kHeld,
            true,
            false,
            false,
            false,
            {},
            "the Idempotency-Key was used for another request: " + describe(answer)};
  }
  if (answer.should_retry == true) return retry(answer);
  return refused(answer, before);
}

}  // namespace

Decision decide(const ApiAnswer& answer, std::string_view identifier, Before before) {
  if (answer.reply == Reply::kNotSent) {
    Decision decision = retry(answer);
    decision.not_this_row = true;
    return decision;
  }
  if (answer.reply == Reply::kNoAnswer) return unknown(answer);
  if (answer.status == 200) {
    // The second look at the boundary: a proxy's page with status 200 is not a delivery.
    if (answer.identifier == identifier)
      return {Verdict::kDelivered, true, false, false, false, {}, {}};
    return unknown(answer);
  }
  if (is_duplicate(answer, identifier)) {
    return {Verdict::kDuplicate, true, false, false, false, {}, describe(answer)};
  }
  if (answer.status == 401 || answer.status == 403) {
    return {Verdict::kStop,
            false,
            false,
            false,
            false,
            {},
            fmt::format("Stripe refused the key ({}): check stripe-key and its permission to write "
                        "meter events; rows are kept",
                        describe(answer))};
  }
  if (answer.status >= 300 && answer.status < 400) {
    return {Verdict::kStop,
            false,
            false,
            false,
            false,
            {},
            fmt::format("the answer was a redirect ({}): check stripe-url; rows are kept",
                        describe(answer))};
  }
  if (answer.status >= 400 && answer.status < 500) return on_client_error(answer, before);
  Decision decision = unknown(answer);
  decision.new_key = answer.status >= 500 && answer.replayed;
  return decision;
}

}  // namespace tally::exporter
