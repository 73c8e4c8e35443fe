#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

using std::chrono::milliseconds;

class LimitsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter_ = meter();
  }
  runtime::http::Response send(int number, const std::string& customer = "cus_1") {
    return call("POST", "/v1/billing/meter_events",
                "event_name=tokens&payload[value]=1&payload[stripe_customer_id]=" + customer +
                    "&identifier=l" + std::to_string(number));
  }
  // How many of `count` events in this moment are let in; the first refusal goes to refused_.
  int let_in(int count) {
    int taken = 0;
    refused_ = {};
    for (int i = 0; i < count; ++i) {
      const auto response = send(sent_++);
      if (response.status == 200) ++taken;
      if (response.status == 429 && refused_.status != 429) refused_ = response;
    }
    return taken;
  }
  std::string meter_;
  runtime::http::Response refused_;
  int sent_ = 0;
};

TEST_F(LimitsTest, ThereAreNoneWhenOff) { EXPECT_EQ(let_in(1'200), 1'200); }

TEST_F(LimitsTest, TheLimiterComesBeforeTheKey) {
  set({{"rate_limits", "test"}});
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  let_in(24);
  EXPECT_EQ(event("a", "1", "", "k").status, 429) << "a replay is a call as well";
}

TEST_F(LimitsTest, ATestAccountHas25CallsInAnySecond) {
  set({{"rate_limits", "test"}});
  EXPECT_EQ(let_in(10), 10);
  steady_ += milliseconds(999);
  EXPECT_EQ(let_in(20), 15);
  EXPECT_EQ(refused_.header("Stripe-Rate-Limited-Reason"), "global-rate");
  EXPECT_EQ(json(refused_)["error"]["code"], "rate_limit");
  EXPECT_TRUE(refused_.header("Retry-After").empty());
  EXPECT_TRUE(refused_.header("Stripe-Should-Retry").empty());
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 429) << "meter events count with the rest";
  steady_ += milliseconds(1);
  EXPECT_EQ(let_in(20), 10) << "the first ten are a second old";
  EXPECT_EQ(counters()["refused"]["global-rate"], 16);
}

TEST_F(LimitsTest, ALiveAccountHas1000MeterEventsApartFromTheRest) {
  set({{"rate_limits", "live"}});
  EXPECT_EQ(let_in(1'100), 1'000);
  EXPECT_EQ(refused_.header("Stripe-Rate-Limited-Reason"), "endpoint-rate");
  int lists = 0;
  for (int i = 0; i < 30; ++i) lists += call("GET", "/v1/billing/meters").status == 200 ? 1 : 0;
  EXPECT_EQ(lists, 25) << "of one endpoint";
  int reads = 0;
  const auto other = [&](int i) {
    const std::string url = "/v1/billing/meters/" + meter_;
    if (i < 25) return call("GET", url);
    if (i < 50) return call("POST", url, "display_name=N");
    return call("GET", url + "/event_summaries?customer=cus_1&start_time=0&end_time=60");
  };
  for (int i = 0; i < 75; ++i) reads += other(i).status == 200 ? 1 : 0;
  EXPECT_EQ(reads, 75);
  const auto full = call("POST", "/v1/billing/meters", "display_name=x");
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.header("Stripe-Rate-Limited-Reason"), "global-rate") << "100 of all endpoints";
  steady_ += milliseconds(1'000);
  EXPECT_EQ(let_in(1), 1);
}

TEST_F(LimitsTest, AnEndpointIsTheSameForAllItsObjects) {
  const std::string other = meter("other");
  set({{"rate_limits", "live"}});
  int taken = 0;
  for (int i = 0; i < 30; ++i) {
    taken += call("GET", "/v1/billing/meters/" + (i % 2 == 0 ? meter_ : other)).status == 200;
  }
  EXPECT_EQ(taken, 25);
}

TEST_F(LimitsTest, TheRefusalsHeadersAreSettings) {
  set({{"rate_limits", "test"}, {"limiter_retry_after_s", 2}, {"limiter_should_retry", "true"}});
  let_in(26);
  EXPECT_EQ(refused_.header("Retry-After"), "2");
  EXPECT_EQ(refused_.header("Stripe-Should-Retry"), "true");
}

TEST_F(LimitsTest, A429IsNotKeptUnderItsKey) {
  set({{"rate_limits", "test"}});
  let_in(25);
  EXPECT_EQ(event("kept", "1", "", "k").status, 429);
  steady_ += milliseconds(1'000);
  const auto taken = event("kept", "1", "", "k");
  EXPECT_EQ(taken.status, 200);
  EXPECT_TRUE(taken.header("Idempotent-Replayed").empty());
}

TEST_F(LimitsTest, OneCallAtATimePerCustomerAndMeterInFourVariants) {
  set({{"answer_delay_ms", 100}});
  const auto two_at_once = [&](const std::string& variant) {
    set({{"concurrency", variant}});
    steady_ += milliseconds(100);
    EXPECT_EQ(send(sent_++).status, 200);
    EXPECT_EQ(send(sent_++, "cus_2").status, 200) << "another customer";
    return send(sent_++);
  };
  const auto conflict = two_at_once("409");
  EXPECT_EQ(conflict.status, 409);
  EXPECT_EQ(message(conflict),
            "Cannot create multiple usage events for the same customer, meter concurrently.");
  const auto locked = two_at_once("lock_timeout");
  EXPECT_EQ(locked.status, 429);
  EXPECT_EQ(code(locked), "lock_timeout");
  EXPECT_EQ(locked.header("Stripe-Should-Retry"), "true");
  EXPECT_TRUE(locked.header("Stripe-Rate-Limited-Reason").empty());
  const auto limited = two_at_once("rate_limited");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.header("Stripe-Rate-Limited-Reason"), "resource-specific");
  EXPECT_EQ(two_at_once("off").status, 200);
}

TEST_F(LimitsTest, CallsInFlightAreBoundedWhenAskedFor) {
  set({{"answer_delay_ms", 100}, {"concurrent_calls", 3}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send(i, "cus_" + std::to_string(i)).status, 200);
  EXPECT_EQ(counters()["in_flight"], 3);
  const auto fourth = send(4, "cus_4");
  EXPECT_EQ(fourth.status, 429);
  EXPECT_EQ(fourth.header("Stripe-Rate-Limited-Reason"), "global-concurrency");
  steady_ += milliseconds(100);
  EXPECT_EQ(counters()["in_flight"], 0);
  EXPECT_EQ(send(4, "cus_4").status, 200);
}

TEST_F(LimitsTest, ReadsOf30DaysAreCountedAgainstTheirBudget) {
  set({{"read_budget", 3}});
  EXPECT_EQ(counters()["reads_30_days"], 0);
  for (int i = 0; i < 2; ++i) call("GET", "/v1/billing/meters");
  now_ += 86'400;
  for (int i = 0; i < 2; ++i) call("GET", "/v1/billing/meters");
  const auto over = counters();
  EXPECT_EQ(over["reads_30_days"], 4) << "only GETs of Stripe's";
  EXPECT_EQ(over["read_budget"], 3);
  EXPECT_EQ(over["reads_over_budget"], 1);
  now_ += 29 * 86'400 - 1;
  EXPECT_EQ(counters()["reads_30_days"], 4);
  now_ += 1;
  EXPECT_EQ(counters()["reads_30_days"], 2);
}

}  // namespace
}  // namespace tally::sandbox
