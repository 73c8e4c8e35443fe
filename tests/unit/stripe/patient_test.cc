#include "runtime/stripe/patient.h"

#include "tests/support/stripe_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tally::runtime::stripe {
namespace {

using std::chrono::milliseconds;
using testsupport::stripe_answer;
using testsupport::StripeCall;
using testsupport::StripeScript;

// Plays one answer after the other, the last for ever.
struct Stage {
  explicit Stage(std::vector<Answer> answers)
      : api([this, answers = std::move(answers)](const StripeCall&) {
          return answers[std::min(played++, answers.size() - 1)];
        }),
        patient(api, [this](milliseconds wait) { waits.push_back(wait); }) {}
  std::size_t played = 0;
  StripeScript api;
  std::vector<milliseconds> waits;
  Patient patient;
};

TEST(StripePatient, TriesAgainWithTheSameKeyUntilItIsAnswered) {
  Stage stage({testsupport::no_stripe_answer(http::Fate::kUnknown, "timed out"),
               stripe_answer(409, ""), stripe_answer(429, "", {{"Retry-After", "9"}}),
               stripe_answer(200, "{}")});
  EXPECT_TRUE(stage.patient.post("/v1/x", "a=b", "key").is_ok());
  ASSERT_EQ(stage.api.calls.size(), 4U);
  for (const StripeCall& call : stage.api.calls) {
    EXPECT_EQ(call.idempotency_key, "key");
    EXPECT_EQ(call.form, "a=b");
  }
  ASSERT_EQ(stage.waits.size(), 3U);
  EXPECT_GE(stage.waits[0], milliseconds(250));
  EXPECT_LT(stage.waits[1], milliseconds(1'000));
  EXPECT_EQ(stage.waits[2], milliseconds(9'000));
}

TEST(StripePatient, GivesUpAfterFiveTriesAndNeverWaitsLong) {
  Stage stage({stripe_answer(503, "", {{"Retry-After", "86400"}})});
  EXPECT_EQ(stage.patient.get("/v1/x").status, 503);
  EXPECT_EQ(stage.api.calls.size(), 5U);
  EXPECT_THAT(stage.waits, testing::Each(milliseconds(30'000)));
}

TEST(StripePatient, WhatStripeSaysOrReplaysIsFinal) {
  for (const Answer& last : {stripe_answer(400, ""), stripe_answer(401, ""), stripe_answer(404, ""),
                             stripe_answer(500, "", {{"Idempotent-Replayed", "true"}}),
                             stripe_answer(429, "", {{"Stripe-Should-Retry", "false"}})}) {
    Stage stage({last});
    EXPECT_EQ(stage.patient.get("/v1/x").status, last.status);
    EXPECT_EQ(stage.api.calls.size(), 1U) << last.status;
  }
  Stage asked({stripe_answer(400, "", {{"Stripe-Should-Retry", "true"}}), stripe_answer(200, "")});
  EXPECT_TRUE(asked.patient.get("/v1/x").is_ok());
}

}  // namespace
}  // namespace tally::runtime::stripe
