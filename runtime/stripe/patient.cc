#include "runtime/stripe/patient.h"

#include <algorithm>

namespace tally::runtime::stripe {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kMostRetryAfterSeconds = 30;

bool is_worth_another_try(const Answer& answer) {
  if (answer.fate != http::Fate::kAnswered) return true;
  if (answer.is_replayed) return false;
  if (answer.should_retry.has_value()) return *answer.should_retry;
  return answer.status == 409 || answer.status == 429 || answer.status >= 500;
}

}  // namespace

Answer Patient::patiently(const std::function<Answer()>& call) {
  retry::Backoff backoff(milliseconds(500), milliseconds(8'000), 1);
  for (int tries = 1;; ++tries) {
    Answer answer = call();
    if (tries == kMostTries || answer.is_ok() || !is_worth_another_try(answer)) return answer;
    const milliseconds wait = backoff.next();
    const std::int64_t asked =
        std::min(answer.retry_after_seconds.value_or(0), kMostRetryAfterSeconds);
    pause_(std::max(wait, milliseconds(asked * 1'000)));
  }
}

Answer Patient::get(const std::string& target) {
  return patiently([&] { return api_.get(target); });
}

Answer Patient::post(const std::string& target, const std::string& form,
                     const std::string& idempotency_key) {
  return patiently([&] { return api_.post(target, form, idempotency_key); });
}

}  // namespace tally::runtime::stripe
