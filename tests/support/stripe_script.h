// Stripe as a script: what is asked is answered by the test, and written down.
#pragma once

#include "runtime/stripe/client.h"

#include <functional>
#include <string>
#include <vector>

namespace tally::testsupport {

// Called for one call; `form` and `idempotency_key` are empty for a GET.
struct StripeCall {
  std::string method;
  std::string target;
  std::string form;
  std::string idempotency_key;
};

[[nodiscard]] inline runtime::stripe::Answer stripe_answer(int status, const std::string& body,
                                                           runtime::http::Headers headers = {}) {
  runtime::http::Outcome outcome;
  outcome.fate = runtime::http::Fate::kAnswered;
  outcome.response.status = status;
  outcome.response.body = body;
  outcome.response.headers = std::move(headers);
  return runtime::stripe::read_answer(outcome, {});
}

[[nodiscard]] inline runtime::stripe::Answer no_stripe_answer(runtime::http::Fate fate,
                                                              const std::string& problem) {
  runtime::http::Outcome outcome;
  outcome.fate = fate;
  outcome.problem = problem;
  return runtime::stripe::read_answer(outcome, {});
}

class StripeScript final : public runtime::stripe::Api {
 public:
  using Play = std::function<runtime::stripe::Answer(const StripeCall&)>;
  explicit StripeScript(Play play) : play_(std::move(play)) {}
  runtime::stripe::Answer get(const std::string& target) override {
    return answer({"GET", target, {}, {}});
  }
  runtime::stripe::Answer post(const std::string& target, const std::string& form,
                               const std::string& idempotency_key) override {
    return answer({"POST", target, form, idempotency_key});
  }
  std::vector<StripeCall> calls;

 private:
  runtime::stripe::Answer answer(StripeCall call) {
    calls.push_back(call);
    return play_(call);
  }
  Play play_;
};

}  // namespace tally::testsupport
