// Calls that are tried again by themselves, for commands that a person waits for.
#pragma once

#include "runtime/retry/backoff.h"
#include "runtime/stripe/client.h"

#include <chrono>
#include <functional>

namespace tally::runtime::stripe {

inline constexpr int kMostTries = 5;

// Tries a call up to kMostTries times: after no answer, 409, 429 and 5xx, and as
// Stripe-Should-Retry says; it waits as Retry-After says (30 s at most), else with backoff. A post
// is tried with the same idempotency key, so Stripe does it once; a kept answer that Stripe replays
// is final. `pause` waits. One thread at a time; `api` lives longer.
class Patient final : public Api {
 public:
  using Pause = std::function<void(std::chrono::milliseconds)>;
  Patient(Api& api, Pause pause) : api_(api), pause_(std::move(pause)) {}
  Answer get(const std::string& target) override;
  Answer post(const std::string& target, const std::string& form,
              const std::string& idempotency_key) override;

 private:
  Answer patiently(const std::function<Answer()>& call);
  Api& api_;
  Pause pause_;
};

}  // namespace tally::runtime::stripe
