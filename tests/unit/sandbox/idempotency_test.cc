#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

class IdempotencyTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter_id_ = meter();
  }
  std::string meter_id_;
};

TEST_F(IdempotencyTest, SameKeyReplaysTheAnswer) {
  const auto first = event("a", "1", "", "k");
  EXPECT_EQ(first.header("Idempotency-Key"), "k");
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  now_ += 10;
  const auto second = event("a", "1", "", "k");
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(second.body, first.body);
  EXPECT_EQ(second.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(totals()["tokens"]["events"], 1);
}

TEST_F(IdempotencyTest, SameKeyWithOtherParametersIsRefused) {
  ASSERT_EQ(event("a", "1", "", "k").status, 200);
  const auto other = event("a", "2", "", "k");
  EXPECT_EQ(other.status, 400);
  EXPECT_EQ(json(other)["error"]["type"], "idempotency_error");
}

TEST_F(IdempotencyTest, KeyIsNewAgainAfter24Hours) {
  ASSERT_EQ(event("a", "1", "", "k").status, 200);
  now_ = kStart + 86'399;
  EXPECT_EQ(event("a", "1", "", "k").header("Idempotent-Replayed"), "true");
  now_ = kStart + 86'400;
  EXPECT_EQ(event("a", "1", "", "k").header("Idempotent-Replayed"), "");
  EXPECT_EQ(totals()["tokens"]["events"], 2);
}

TEST_F(IdempotencyTest, A500IsReplayedUntilTheKeyChanges) {
  faults(R"([{"match":"meter_events","kind":"status_500"}])");
  EXPECT_EQ(event("a", "1", "", "k").status, 500);
  const auto replayed = event("a", "1", "", "k");
  EXPECT_EQ(replayed.status, 500);
  EXPECT_EQ(replayed.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(event("a", "1", "", "k2").status, 200);
  EXPECT_EQ(totals()["tokens"]["events"], 1);
}

TEST_F(IdempotencyTest, A500AfterTheWorkIsADuplicateUnderANewKey) {
  faults(R"([{"match":"meter_events","kind":"status_500_after"}])");
  EXPECT_EQ(event("a", "1", "", "k").status, 500);
  EXPECT_EQ(event("a", "1", "", "k").status, 500);
  EXPECT_EQ(event("a", "1", "", "k2").status, 400);
  EXPECT_EQ(totals()["tokens"]["events"], 1);
}

TEST_F(IdempotencyTest, AnExecuted400IsReplayedAfterItsCauseIsGone) {
  call("POST", "/v1/billing/meters/" + meter_id_ + "/deactivate");
  EXPECT_EQ(event("a", "1", "", "k").status, 400);
  call("POST", "/v1/billing/meters/" + meter_id_ + "/reactivate");
  EXPECT_EQ(event("a", "1", "", "k").status, 400);
  EXPECT_EQ(event("a", "1", "", "k2").status, 200);
}

TEST_F(IdempotencyTest, ValidationAndLimitsAreNotKept) {
  EXPECT_EQ(event("a", "1", "&surprise=1", "k").status, 400);
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  faults(R"([{"kind":"status_429"},{"kind":"status_409"}])");
  EXPECT_EQ(event("b", "1", "", "k3").status, 429);
  EXPECT_EQ(event("b", "1", "", "k3").status, 409);
  EXPECT_EQ(event("b", "1", "", "k3").status, 200);
}

TEST_F(IdempotencyTest, SameKeyInFlightIs409) {
  start(100);
  meter();
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  const auto busy = event("a", "1", "", "k");
  EXPECT_EQ(busy.status, 409);
  EXPECT_EQ(code(busy), "idempotency_key_in_use");
  steady_ += std::chrono::milliseconds(100);
  EXPECT_EQ(event("a", "1", "", "k").header("Idempotent-Replayed"), "true");
}

TEST_F(IdempotencyTest, KeysOlderThan24HoursArePruned) {
  for (int i = 0; i < 5; ++i) event("a" + std::to_string(i), "1", "", "k" + std::to_string(i));
  EXPECT_EQ(counters()["idempotency_keys"], 5);
  now_ = kStart + 86'399;
  event("b", "1", "", "kb");
  EXPECT_EQ(counters()["idempotency_keys"], 6);
  now_ = kStart + 86'400;
  event("c", "1", "", "kc");
  EXPECT_EQ(counters()["idempotency_keys"], 2);
}

TEST_F(IdempotencyTest, AnotherPathIsAnotherRequest) {
  ASSERT_EQ(event("a", "1", "", "k").status, 200);
  const auto other = call("POST", "/v1/billing/meters/" + meter_id_, "display_name=N", "k");
  EXPECT_EQ(json(other)["error"]["type"], "idempotency_error");
}

TEST_F(IdempotencyTest, AMissingObjectIsADecisionAndKept) {
  const std::string url = "/v1/billing/meters/mtr_none/deactivate";
  EXPECT_EQ(call("POST", url, "", "k").status, 404);
  const auto again = call("POST", url, "", "k");
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
}

TEST_F(IdempotencyTest, KeysOfReadsMeanNothing) {
  const auto first = call("GET", "/v1/billing/meters", "", "k");
  meter("other");
  const auto second = call("GET", "/v1/billing/meters", "", "k");
  EXPECT_NE(second.body, first.body);
  EXPECT_TRUE(second.header("Idempotent-Replayed").empty());
  EXPECT_EQ(counters()["idempotency_keys"], 0);
}

TEST_F(IdempotencyTest, ARefusedApiKeyKeepsNothing) {
  runtime::http::Request request{"POST", "/v1/billing/meters", {}, ""};
  request.headers.set("Authorization", "Bearer sk_test_forbidden");
  request.headers.set("Idempotency-Key", "k");
  EXPECT_EQ(sandbox_->handle(request).status, 403);
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
}

TEST_F(IdempotencyTest, KeysAreBounded) {
  EXPECT_EQ(event("a", "1", "", std::string(255, 'k')).status, 200);
  EXPECT_EQ(event("b", "1", "", std::string(256, 'k')).status, 400);
}

}  // namespace
}  // namespace tally::sandbox
