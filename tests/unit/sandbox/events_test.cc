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

TEST_F(EventsTest, AnIdentifiers24HoursRunFromReceptionNotFromTheEventsTime) {
  const std::string old = "&timestamp=" + std::to_string(kStart - 2 * 86'400);
  ASSERT_EQ(event("a", "1", old).status, 200);
  EXPECT_EQ(message(event("a", "1", old)), "An event already exists with identifier a.");
  now_ = kStart + 86'399;
  EXPECT_EQ(event("a", "1", old).status, 400);
  now_ = kStart + 86'400;
  EXPECT_EQ(event("a", "1", old).status, 200);
}

TEST_F(EventsTest, IdentifierWindowCanBeLonger) {
  set({{"identifier_window_s", 2 * 86'400}});
  ASSERT_EQ(event("a", "1").status, 200);
  now_ = kStart + 2 * 86'400 - 1;
  EXPECT_EQ(message(event("a", "1")), "An event already exists with identifier a.");
  now_ = kStart + 2 * 86'400;
  EXPECT_EQ(event("a", "1").status, 200);
}

TEST_F(EventsTest, IdentifiersAreTheAccountsOrTheEventNames) {
  const auto other = [&](const std::string& identifier) {
    return call("POST", "/v1/billing/meter_events",
                "event_name=other&payload[stripe_customer_id]=cus_1&payload[value]=1&identifier=" +
                    identifier);
  };
  meter("other");
  ASSERT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(other("a").status, 400) << "one account, one space of identifiers";
  set({{"identifier_scope", "event_name"}});
  EXPECT_EQ(other("a").status, 200);
  EXPECT_EQ(other("a").status, 400);
  EXPECT_EQ(event("a", "1").status, 400);
}

TEST_F(EventsTest, ValuesMayBeWholeOnly) {
  set({{"values", "integer"}});
  EXPECT_THAT(message(event("a", "1.5")), HasSubstr("must be an integer"));
  EXPECT_EQ(event("b", "-2").status, 200);
  EXPECT_EQ(event("c", "1.0").status, 400) << "a fraction by its text";
  set({{"values", "positive_integer"}});
  EXPECT_THAT(message(event("d", "-2")), HasSubstr("must be a positive integer"));
  EXPECT_EQ(event("e", "0").status, 400);
  EXPECT_EQ(event("f", "3").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
}

TEST_F(EventsTest, CountMetersMayAskForAValue) {
  meter("calls", "count");
  const auto send = [&](const std::string& more) {
    return call("POST", "/v1/billing/meter_events",
                "event_name=calls&payload[stripe_customer_id]=cus_1" + more);
  };
  EXPECT_EQ(send("").status, 200);
  set({{"count_needs_value", true}});
  EXPECT_EQ(send("").status, 400);
  EXPECT_EQ(send("&payload[value]=9").status, 200);
  EXPECT_EQ(totals()["calls"]["total"], "2");
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
  start(100);
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
  for (const char* wrong :
       {"nonsense", "5", "[]", "{}", R"({"now":1.9})", R"({"now":-1})", R"({"now":"1"})",
        R"({"now":253402300800})", R"({"now":9223372036854775807})", R"({"advance_seconds":1.5})",
        R"({"advance_seconds":9223372036854775807})", R"({"advance_seconds":-9000000000})",
        R"({"now":1,"advance_seconds":1})", R"({"now":1,"surprise":1})"}) {
    EXPECT_EQ(call("POST", "/sandbox/clock", wrong).status, 400) << wrong;
    EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], kStart + 65) << wrong;
  }
  EXPECT_EQ(call("POST", "/sandbox/clock", R"({"now":253402300799})").status, 200);
  call("DELETE", "/v1/customers/cus_1");
  EXPECT_EQ(event("late", "1").status, 200);
  EXPECT_EQ(call("GET", "/sandbox/notifications").status, 200) << "the last moment has no report";
}

}  // namespace
}  // namespace tally::sandbox
