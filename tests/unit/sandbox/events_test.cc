#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

using testing::HasSubstr;

class EventsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter();
  }
};

TEST_F(EventsTest, AcceptedEventIsShownAndCounted) {
  const auto response = event("a", "25.5", "&timestamp=" + std::to_string(kStart - 60));
  ASSERT_EQ(response.status, 200) << response.body;
  const auto body = json(response);
  EXPECT_EQ(body["object"], "billing.meter_event");
  EXPECT_EQ(body["identifier"], "a");
  EXPECT_EQ(body["timestamp"], kStart - 60);
  EXPECT_EQ(body["created"], kStart);
  EXPECT_EQ(body["payload"]["value"], "25.5");
  EXPECT_FALSE(response.header("Request-Id").empty());
  EXPECT_EQ(totals()["tokens"]["total"], "25.5");
  EXPECT_EQ(json(call("GET", "/sandbox/oracle/events"))["events"][0]["customer"], "cus_1");
}

TEST_F(EventsTest, IdentifierIsKnownForExactly24Hours) {
  ASSERT_EQ(event("a", "1").status, 200);
  now_ = kStart + 86'399;
  const auto duplicate = event("a", "1");
  EXPECT_EQ(duplicate.status, 400);
  EXPECT_EQ(message(duplicate), "An event already exists with identifier a.");
  EXPECT_FALSE(json(duplicate)["error"].contains("code"));
  EXPECT_EQ(duplicate.header("Stripe-Should-Retry"), "false");
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  now_ = kStart + 86'400;
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "2") << "a late blind resend bills twice";
}

TEST_F(EventsTest, RefusedEventsDoNotBurnTheirIdentifier) {
  EXPECT_EQ(event("a", "abc").status, 400);
  EXPECT_EQ(event("a", "1").status, 200);
}

TEST_F(EventsTest, TimestampWindowIs35DaysBackAnd5MinutesAhead) {
  const auto at = [&](std::int64_t time) {
    return event("t" + std::to_string(time), "1", "&timestamp=" + std::to_string(time));
  };
  const std::int64_t oldest = kStart - 35 * 86'400;
  EXPECT_EQ(at(oldest).status, 200);
  EXPECT_EQ(message(at(oldest - 1)),
            "The event timestamp cannot be more than 35 days in past. Expected a timestamp greater "
            "than or equal to " +
                std::to_string(oldest) + ".");
  EXPECT_EQ(at(kStart + 300).status, 200);
  EXPECT_EQ(at(kStart + 301).status, 400);
  EXPECT_EQ(event("x", "1", "&timestamp=soon").status, 400);
}

TEST_F(EventsTest, ValuesAreJudged) {
  for (const char* bad : {"abc", "1e3", "%2B1", "1,000", ""}) {
    EXPECT_EQ(event("v", bad).status, 400) << bad;
  }
  EXPECT_THAT(message(event("v", "1234567890123456")), HasSubstr("at most 15 digits"));
  EXPECT_EQ(event("n", "-3").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "-3");
}

TEST_F(EventsTest, PayloadMustNameCustomerAndValue) {
  const std::string url = "/v1/billing/meter_events";
  EXPECT_THAT(message(call("POST", url, "event_name=tokens&payload[value]=1")),
              HasSubstr("stripe_customer_id not found"));
  EXPECT_THAT(message(call("POST", url, "event_name=tokens&payload[stripe_customer_id]=c")),
              HasSubstr("value not found"));
  EXPECT_THAT(message(call("POST", url, "event_name=tokens")),
              HasSubstr("Missing required param: payload"));
  EXPECT_THAT(message(call("POST", url, "event_name=other&payload[value]=1")),
              HasSubstr("No active meter found for event name \"other\""));
}

TEST_F(EventsTest, LengthsAreBounded) {
  EXPECT_EQ(event(std::string(100, 'i'), "1").status, 200);
  EXPECT_EQ(event(std::string(101, 'i'), "1").status, 400);
  EXPECT_EQ(event("k", "1", "&payload[" + std::string(101, 'k') + "]=x").status, 400);
  EXPECT_EQ(event("l", "1", "&payload[k]=" + std::string(101, 'x')).status, 400);
  EXPECT_EQ(event("m", "1", "&surprise=1").status, 400);
}

TEST_F(EventsTest, OneCallAtATimePerCustomerAndMeter) {
  start("", 100);
  meter();
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(event("b", "1").status, 409);
  EXPECT_EQ(call("POST", "/v1/billing/meter_events",
                 "event_name=tokens&payload[value]=1&payload[stripe_customer_id]=cus_2")
                .status,
            200);
  steady_ += std::chrono::milliseconds(100);
  EXPECT_EQ(event("b", "1").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "3");
}

TEST_F(EventsTest, CancelledWithin24Hours) {
  ASSERT_EQ(event("a", "5").status, 200);
  ASSERT_EQ(event("b", "7").status, 200);
  const auto cancel = [&](const std::string& id) {
    return call("POST", "/v1/billing/meter_event_adjustments",
                "event_name=tokens&type=cancel&cancel[identifier]=" + id);
  };
  EXPECT_EQ(cancel("a").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "7");
  EXPECT_EQ(cancel("none").status, 400);
  now_ += 86'400;
  EXPECT_EQ(cancel("b").status, 400);
  EXPECT_EQ(totals()["tokens"]["total"], "7");
}

TEST_F(EventsTest, ClockCanBeSetAndMoved) {
  EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], kStart);
  EXPECT_EQ(json(call("POST", "/sandbox/clock", R"({"now":1700000000})"))["now"], 1'700'000'000);
  EXPECT_EQ(json(call("POST", "/sandbox/clock", R"({"advance_seconds":60})"))["now"],
            1'700'000'060);
  EXPECT_EQ(json(event("a", "1"))["timestamp"], 1'700'000'060);
  EXPECT_EQ(json(call("POST", "/sandbox/clock", R"({"now":null})"))["now"], kStart);
  call("POST", "/sandbox/clock", R"({"advance_seconds":60})");
  now_ += 5;
  EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], kStart + 65);
  EXPECT_EQ(call("POST", "/sandbox/clock", "nonsense").status, 400);
}

TEST_F(EventsTest, FaultsStrikeTheirNumberOfTimes) {
  faults(R"([{"match":"meter_events","kind":"status_429","count":2,"should_retry":"true"}])");
  const auto limited = event("a", "1");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.header("Stripe-Should-Retry"), "true");
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
  EXPECT_EQ(event("a", "1").status, 429);
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(totals()["tokens"]["events"], 1);
}

TEST_F(EventsTest, DroppedBeforeIsNotCountedDroppedAfterIs) {
  faults(R"([{"match":"meter","kind":"drop_before"},{"match":"meter","kind":"drop_after"}])");
  EXPECT_TRUE(event("a", "1").drop_connection);
  EXPECT_EQ(totals()["tokens"]["events"], 0);
  EXPECT_TRUE(event("a", "1").drop_connection);
  EXPECT_EQ(totals()["tokens"]["events"], 1);
  EXPECT_THAT(message(event("a", "1")), HasSubstr("already exists"));
}

TEST_F(EventsTest, DelayAndHtmlFaults) {
  faults(R"([{"kind":"delay_ms","value":1500},{"kind":"status_503","retry_after_s":7}])");
  EXPECT_EQ(event("a", "1").delay, std::chrono::milliseconds(1500));
  steady_ += std::chrono::seconds(2);
  const auto down = event("b", "1");
  EXPECT_EQ(down.status, 503);
  EXPECT_EQ(down.header("Retry-After"), "7");
  EXPECT_THAT(down.body, testing::StartsWith("<html>"));
}

TEST_F(EventsTest, WrongFaultsAreRefusedWhole) {
  EXPECT_EQ(call("POST", "/sandbox/faults", R"([{"kind":"drop_after"},{"kind":"explode"}])").status,
            400);
  EXPECT_EQ(call("POST", "/sandbox/faults", R"([{"kind":"drop_after","count":0}])").status, 400);
  EXPECT_EQ(call("POST", "/sandbox/faults", R"([{"kind":"drop_after","count":"x"}])").status, 400);
  EXPECT_EQ(json(call("GET", "/sandbox/faults"))["faults"].size(), 0U);
  faults(R"({"kind":"drop_after"})");
  EXPECT_EQ(json(call("DELETE", "/sandbox/faults"))["faults"].size(), 0U);
}

}  // namespace
}  // namespace tally::sandbox
