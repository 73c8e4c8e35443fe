#include "tests/unit/sandbox/faults_fixture.h"

namespace tally::sandbox {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST_F(FaultsTest, StrikeTheirNumberOfTimes) {
  faults(R"([{"match":"meter_events","kind":"status_429","count":2,"should_retry":"true"}])");
  const auto limited = event("a", "1");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.header("Stripe-Should-Retry"), "true");
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
  EXPECT_EQ(event("a", "1").status, 429);
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(counted(), 1);
  EXPECT_EQ(counters()["faults"]["status_429"], 2);
}

TEST_F(FaultsTest, DroppedOrResetBeforeIsNotCountedAfterIs) {
  for (const std::string cut : {"drop", "reset"}) {
    const int before = counted();
    strike(cut + "_before");
    const auto lost = event(cut, "1");
    EXPECT_TRUE(lost.drop_connection);
    EXPECT_EQ(lost.reset_connection, cut == "reset");
    EXPECT_EQ(counted(), before);
    strike(cut + "_after");
    const auto lost_answer = event(cut, "1", "", "k" + cut);
    EXPECT_TRUE(lost_answer.drop_connection);
    EXPECT_EQ(lost_answer.reset_connection, cut == "reset");
    EXPECT_EQ(counted(), before + 1);
    EXPECT_THAT(message(event(cut, "1")), HasSubstr("already exists"));
    EXPECT_EQ(event(cut, "1", "", "k" + cut).header("Idempotent-Replayed"), "true");
  }
}

TEST_F(FaultsTest, TimeoutsHoldTheConnectionAndThenCutIt) {
  strike("timeout_before");
  const auto before = event("a", "1");
  EXPECT_EQ(before.delay, milliseconds(60'000)) << "unless told otherwise";
  EXPECT_TRUE(before.drop_connection);
  EXPECT_EQ(counted(), 0);
  faults(R"({"match":"meter_events","kind":"timeout_after","value":5000})");
  const auto after = event("a", "1", "", "k");
  EXPECT_EQ(after.delay, milliseconds(5000));
  EXPECT_TRUE(after.drop_connection);
  EXPECT_EQ(counted(), 1);
  const auto again = event("a", "1", "", "k");
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true")
      << "Stripe was done long ago: only the answer is lost on its way";
}

TEST_F(FaultsTest, SlowAnswersStayInFlight) {
  faults(R"({"kind":"delay_ms","value":1500})");
  EXPECT_EQ(event("a", "1", "", "k").delay, milliseconds(1500));
  EXPECT_EQ(code(event("a", "1", "", "k")), "idempotency_key_in_use");
  EXPECT_THAT(message(event("b", "1", "", "k2")), HasSubstr("same customer, meter"))
      << "409 as well";
  steady_ += milliseconds(1500);
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
}

TEST_F(FaultsTest, A500MayBeStoredOrNotAndBeforeTheWorkOrAfter) {
  struct Case {
    const char* kind;
    int work;
    int again;  // the status under the same key
    bool replayed;
  };
  for (const Case& one : {Case{"status_500", 0, 500, true}, Case{"status_500_after", 1, 500, true},
                          Case{"status_500_unstored", 0, 200, false},
                          Case{"status_500_after_unstored", 1, 400, false}}) {
    const std::string kind = one.kind;
    const int before = counted();
    strike(kind);
    const auto failed = event(kind, "1", "", kind);
    EXPECT_EQ(failed.status, 500) << kind;
    EXPECT_EQ(json(failed)["error"]["type"], "api_error");
    EXPECT_EQ(counted(), before + one.work) << kind;
    const auto again = event(kind, "1", "", kind);
    EXPECT_EQ(again.status, one.again) << kind;
    EXPECT_EQ(again.header("Idempotent-Replayed") == "true", one.replayed) << kind;
  }
}

TEST_F(FaultsTest, GatewaysAnswerInHtml) {
  for (const int status : {502, 503}) {
    const std::string kind = "status_" + std::to_string(status);
    faults(R"({"match":"meter_events","retry_after_s":7,"kind":")" + kind + "\"}");
    const auto down = event(kind, "1", "", kind);
    EXPECT_EQ(down.status, status);
    EXPECT_EQ(down.header("Retry-After"), "7");
    EXPECT_EQ(down.header("Content-Type"), "text/html");
    EXPECT_THAT(down.body, testing::StartsWith("<html>"));
    EXPECT_EQ(event(kind, "1", "", kind).header("Idempotent-Replayed"), "");
    strike(kind + "_after");
    EXPECT_EQ(event(kind + "x", "1", "", kind + "x").status, status);
    const auto again = event(kind + "x", "1", "", kind + "x");
    EXPECT_EQ(again.status, 200) << "behind the gateway it was done and kept";
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  }
  EXPECT_EQ(counted(), 4);
}

TEST_F(FaultsTest, HeadersAreAsAsked) {
  faults(R"({"kind":"status_429","limit_reason":"resource-specific","should_retry":"false"})");
  const auto limited = event("a", "1");
  EXPECT_EQ(limited.header("Stripe-Rate-Limited-Reason"), "resource-specific");
  EXPECT_EQ(limited.header("Stripe-Should-Retry"), "false");
  EXPECT_TRUE(limited.header("Retry-After").empty());
  faults(R"({"kind":"status_500","should_retry":"true","retry_after_s":3})");
  const auto failed = event("a", "1");
  EXPECT_EQ(failed.header("Stripe-Should-Retry"), "true");
  EXPECT_EQ(failed.header("Retry-After"), "3");
}

TEST_F(FaultsTest, WrongOnesAreRefusedWhole) {
  for (const char* wrong :
       {R"([{"kind":"drop_after"},{"kind":"explode"}])", R"([{"kind":"drop_after","count":0}])",
        R"([{"kind":"drop_after","count":"x"}])", R"([{"kind":"drop_after","surprise":1}])",
        R"([{"kind":"status_429","should_retry":"maybe"}])", "[1]", "nonsense"}) {
    EXPECT_EQ(call("POST", "/sandbox/faults", wrong).status, 400) << wrong;
  }
  EXPECT_EQ(json(call("GET", "/sandbox/faults"))["faults"].size(), 0U);
  faults(R"({"kind":"drop_after"})");
  EXPECT_EQ(json(call("DELETE", "/sandbox/faults"))["faults"].size(), 0U);
}

TEST_F(FaultsTest, ASlowAnswerIsInFlightForTheLimiterToo) {
  set({{"concurrent_calls", 1}});
  faults(R"({"kind":"delay_ms","value":1500})");
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(counters()["in_flight"], 1);
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 429);
  steady_ += milliseconds(1500);
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
}

TEST_F(FaultsTest, AnAnswerLostOnItsWayHoldsNeitherKeyNorCustomer) {
  for (const std::string kind :
       {"drop_after", "reset_after", "status_502_after", "status_503_after", "timeout_after"}) {
    faults(R"({"match":"meter_events","value":5000,"kind":")" + kind + "\"}");
    EXPECT_EQ(event(kind, "1", "", kind).delay, milliseconds(5000)) << kind;
    EXPECT_EQ(counters()["in_flight"], 0) << kind;
    EXPECT_EQ(event(kind, "1", "", kind).header("Idempotent-Replayed"), "true") << kind;
    EXPECT_EQ(event(kind + "-next", "1").status, 200) << kind;
  }
}

TEST_F(FaultsTest, AFaultThatCouldNotHappenIsNotCountedAsStruck) {
  ASSERT_EQ(event("a", "1", "", "k").status, 200);
  for (const std::string kind : {"status_500", "status_500_after"}) {
    strike(kind);
    EXPECT_EQ(event("a", "1", "", "k").header("Idempotent-Replayed"), "true");
    EXPECT_FALSE(counters()["faults"].contains(kind)) << "the kept answer came instead";
    EXPECT_EQ(counters()["faults_missed"][kind], 1);
  }
  for (const std::string kind : {"status_500_after", "drop_after", "status_503_after"}) {
    strike(kind);
    event(kind, "1", "&surprise=1");
    EXPECT_FALSE(counters()["faults"].contains(kind)) << "there was no work to come after";
  }
  EXPECT_EQ(counters()["faults_missed"]["status_500_after"], 2);
  strike("drop_after");
  EXPECT_TRUE(event("a", "1", "", "k").drop_connection);
  EXPECT_EQ(counters()["faults"]["drop_after"], 1) << "an answer that was kept can be lost too";
}

TEST_F(FaultsTest, MembersThatDoNothingAreRefused) {
  for (const char* wrong :
       {R"({"kind":"delay_ms"})", R"({"kind":"delay_ms","value":0})",
        R"({"kind":"drop_after","should_retry":"true"})",
        R"({"kind":"timeout_before","retry_after_s":1})",
        R"({"kind":"delay_ms","value":5,"should_retry":"false"})",
        R"({"kind":"status_500","limit_reason":"global-rate"})",
        R"({"kind":"status_500","code":"x"})", R"({"kind":"drop_after","count":1.5})",
        R"({"kind":"drop_after","value":1.5})"}) {
    EXPECT_EQ(call("POST", "/sandbox/faults", wrong).status, 400) << wrong;
  }
}

TEST_F(FaultsTest, A429WithoutReasonIsALockAndSaysRetry) {
  strike("status_429");
  const auto locked = event("a", "1");
  EXPECT_EQ(locked.status, 429);
  EXPECT_EQ(code(locked), "lock_timeout");
  EXPECT_EQ(locked.header("Stripe-Should-Retry"), "true");
  EXPECT_THAT(message(locked), HasSubstr("another API request"));
  faults(R"({"kind":"status_429","should_retry":"absent"})");
  EXPECT_EQ(event("a", "1").header("Stripe-Should-Retry"), "");
}

TEST_F(FaultsTest, AGoodEventMayBeRejectedLater) {
  faults(R"([{"kind":"reject_later","code":"brand_new"},{"kind":"reject_later"}])");
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  EXPECT_EQ(event("b", "2").status, 200);
  EXPECT_EQ(event("c", "4").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "4");
  EXPECT_EQ(totals()["tokens"]["rejected"], 2);
  EXPECT_EQ(event("a", "1", "", "k").header("Idempotent-Replayed"), "true");
  now_ += 20;
  const auto thin = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(thin.size(), 1U);
  const std::string id = thin[0]["id"];
  const auto types = json(call("GET", "/v2/core/events/" + id))["data"]["reason"]["error_types"];
  ASSERT_EQ(types.size(), 2U);
  EXPECT_EQ(types[0]["code"], "brand_new");
  EXPECT_EQ(types[1]["code"], "meter_event_invalid_value");
  EXPECT_EQ(counters()["faults"]["reject_later"], 2);
  strike("reject_later");
  EXPECT_EQ(event("a", "1").status, 400) << "a duplicate";
  EXPECT_EQ(counters()["faults_missed"]["reject_later"], 1);
}

TEST_F(FaultsTest, A200MayHaveABodyThatCannotBeRead) {
  for (const std::string kind : {"html_after", "half_after"}) {
    const int before = counted();
    strike(kind);
    const auto garbled = event(kind, "1", "", kind);
    EXPECT_EQ(garbled.status, 200);
    EXPECT_TRUE(nlohmann::json::parse(garbled.body, nullptr, false).is_discarded()) << kind;
    EXPECT_EQ(counted(), before + 1);
    EXPECT_EQ(json(event(kind, "1", "", kind))["identifier"], kind) << "the key kept it whole";
  }
}

}  // namespace
}  // namespace tally::sandbox
