// What happens to an event after its 200: it waits, is counted or rejected, and rejections are
// reported.
#include "tests/unit/sandbox/sandbox_fixture.h"

#include <set>

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

class AsyncTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter_ = meter();
  }
  runtime::http::Response of(const std::string& customer, const std::string& identifier,
                             const std::string& more = "&payload[value]=1") {
    return call("POST", "/v1/billing/meter_events",
                "event_name=tokens&payload[stripe_customer_id]=" + customer +
                    "&identifier=" + identifier + more,
                "key-" + identifier);
  }
  Json summary(const std::string& customer = "cus_1") {
    return json(call("GET", "/v1/billing/meters/" + meter_ + "/event_summaries?customer=" +
                                customer + "&start_time=" + std::to_string(kStart - 86'400) +
                                "&end_time=" + std::to_string(kStart + 86'400)))["data"];
  }
  Json notifications() { return json(call("GET", "/sandbox/notifications"))["notifications"]; }
  Json fetched(const Json& notification) {
    const std::string id = notification["id"];
    return json(call("GET", "/v2/core/events/" + id));
  }
  void remove(const std::string& customer) {
    const auto gone = call("DELETE", "/v1/customers/" + customer);
    ASSERT_EQ(gone.status, 200) << gone.body;
    EXPECT_EQ(json(gone)["deleted"], true);
  }
  // Moves on until every error report is out.
  void let_reports_come() { now_ += 20; }
  // code -> count over all reports.
  std::map<std::string, int> reported() {
    std::map<std::string, int> counts;
    for (const Json& notification : notifications()) {
      const Json types = fetched(notification)["data"]["reason"]["error_types"];
      for (const Json& type : types) {
        counts[type["code"]] += type["error_count"].get<int>();
      }
    }
    return counts;
  }
  std::string meter_;
};

TEST_F(AsyncTest, SummariesLagBehindTheAnswer) {
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}});
  EXPECT_EQ(event("a", "5").status, 200);
  EXPECT_EQ(summary().size(), 0U);
  EXPECT_EQ(totals()["tokens"]["pending"], 1);
  EXPECT_EQ(totals()["tokens"]["total"], "0");
  EXPECT_EQ(message(event("a", "5")), "An event already exists with identifier a.");
  now_ += 59;
  EXPECT_EQ(summary().size(), 0U);
  now_ += 1;
  EXPECT_EQ(summary()[0]["aggregated_value"], 5);
  EXPECT_EQ(totals()["tokens"]["pending"], 0);
  EXPECT_EQ(totals()["tokens"]["total"], "5");
}

TEST_F(AsyncTest, DelaysAreDrawnFromTheirRangeSoLaterOnesMayComeFirst) {
  const auto order = [&](int seed) {
    start();
    meter_ = meter();
    set({{"apply_delay_min_s", 10}, {"apply_delay_max_s", 40}, {"seed", seed}});
    for (int i = 0; i < 10; ++i) EXPECT_EQ(event(std::to_string(i), "1").status, 200);
    std::vector<std::string> seen;
    std::set<std::string> known;
    for (int second = 0; second <= 40; ++second) {
      const Json events = json(call("GET", "/sandbox/oracle/events"))["events"];
      for (const Json& one : events) {
        if (one["state"] == "counted" && known.insert(one["identifier"]).second) {
          EXPECT_GE(second, 10);
          seen.push_back(one["identifier"]);
        }
      }
      now_ += 1;
    }
    EXPECT_EQ(seen.size(), 10U);
    return seen;
  };
  std::vector<std::string> sent;
  for (int i = 0; i < 10; ++i) sent.push_back(std::to_string(i));
  const auto first = order(1);
  EXPECT_NE(first, sent);
  EXPECT_EQ(order(1), first) << "the same seed draws the same";
  EXPECT_NE(order(2), first);
}

// Stripe's SDKs make a new key for each call, so only the identifier can make a run repeatable.
TEST_F(AsyncTest, DelaysHangOnTheIdentifierAndItsCountNotOnTheKey) {
  const auto due = [&](const std::string& key, const std::string& identifier = "a") {
    EXPECT_EQ(event(identifier, "1", "", key).status, 200);
    const Json events = json(call("GET", "/sandbox/oracle/events"))["events"];
    return events.back()["due"].get<std::int64_t>() - now_;
  };
  std::set<std::int64_t> seen;
  for (const char* key : {"", "k", "other"}) {
    start();
    meter_ = meter();
    set({{"apply_delay_min_s", 0}, {"apply_delay_max_s", 1'000'000}});
    seen.insert(due(key));
  }
  EXPECT_EQ(seen.size(), 1U);
  now_ += 86'400;
  seen.insert(due("again"));
  EXPECT_EQ(seen.size(), 2U) << "forgotten and taken again it draws anew";
}

TEST_F(AsyncTest, TheLatestReceivedWinsThoughItWasAppliedFirst) {
  call("POST", "/v1/billing/meters/" + meter_ + "/deactivate");
  meter_ = meter("tokens", "last");
  set({{"apply_delay_min_s", 100}, {"apply_delay_max_s", 100}});
  event("a", "5", "&timestamp=" + std::to_string(kStart));
  set({{"apply_delay_min_s", 1}, {"apply_delay_max_s", 1}});
  event("b", "6", "&timestamp=" + std::to_string(kStart));
  now_ += 1;
  EXPECT_EQ(summary()[0]["aggregated_value"], 6);
  now_ += 99;
  EXPECT_EQ(summary()[0]["aggregated_value"], 6);
}

TEST_F(AsyncTest, DeletedCustomersEventsAreRejectedLater) {
  remove("cus_1");
  EXPECT_EQ(json(call("GET", "/v1/customers/cus_1"))["deleted"], true);
  EXPECT_EQ(call("DELETE", "/v1/customers/cus_1").status, 404);
  const auto taken = of("cus_1", "a");
  EXPECT_EQ(taken.status, 200) << taken.body;
  EXPECT_EQ(of("cus_2", "b").status, 200);
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  EXPECT_TRUE(notifications().empty()) << "the ten seconds are not over";
  now_ += 10;
  const Json thin = notifications()[0];
  EXPECT_EQ(thin["object"], "v2.core.event");
  EXPECT_EQ(thin["type"], "v1.billing.meter.error_report_triggered");
  EXPECT_EQ(thin["created"], "2027-01-15T08:00:10.000Z");
  EXPECT_EQ(thin["livemode"], false);
  EXPECT_EQ(thin["related_object"]["id"], meter_);
  EXPECT_EQ(thin["related_object"]["type"], "billing.meter");
  EXPECT_EQ(thin["related_object"]["url"], "/v1/billing/meters/" + meter_);
  EXPECT_FALSE(thin.contains("data")) << "what is delivered is thin";
  const Json data = fetched(thin)["data"];
  EXPECT_EQ(data["validation_start"], "2027-01-15T08:00:00.000Z");
  EXPECT_EQ(data["validation_end"], "2027-01-15T08:00:10.000Z");
  EXPECT_EQ(data["reason"]["error_count"], 1);
  const Json type = data["reason"]["error_types"][0];
  EXPECT_EQ(type["code"], "meter_event_customer_not_found");
  EXPECT_EQ(type["error_count"], 1);
  EXPECT_EQ(type["sample_errors"][0]["request"]["identifier"], "a");
  EXPECT_FALSE(type["sample_errors"][0]["error_message"].get<std::string>().empty());
  EXPECT_FALSE(data["developer_message_summary"].get<std::string>().empty());
}

TEST_F(AsyncTest, ACustomerDeletedWhileTheEventWaitsIsNotFoundEither) {
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}});
  EXPECT_EQ(of("cus_1", "a").status, 200);
  remove("cus_1");
  now_ += 60;
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
}

TEST_F(AsyncTest, AMeterArchivedWhileTheEventWaitsRejectsIt) {
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}});
  EXPECT_EQ(event("a", "1").status, 200);
  call("POST", "/v1/billing/meters/" + meter_ + "/deactivate");
  now_ += 60;
  EXPECT_EQ(totals()["tokens"]["total"], "0");
  let_reports_come();
  EXPECT_EQ(reported(), (std::map<std::string, int>{{"archived_meter", 1}}));
  EXPECT_EQ(notifications()[0]["related_object"]["id"], meter_);
}

TEST_F(AsyncTest, ChecksAreMadeAtOnceOrLaterAsToldAndNotForgotten) {
  set({{"async_checks", {"meter", "payload", "value", "timestamp", "customer"}}});
  EXPECT_EQ(event("a", "abc").status, 200);
  EXPECT_EQ(event("b", "1234567890123456").status, 200);
  EXPECT_EQ(of("cus_1", "c", "").status, 200) << "no value";
  EXPECT_EQ(event("d", "1", "&timestamp=" + std::to_string(kStart - 36 * 86'400)).status, 200);
  EXPECT_EQ(event("e", "1", "&timestamp=" + std::to_string(kStart + 301)).status, 200);
  EXPECT_EQ(call("POST", "/v1/billing/meter_events", "event_name=tokens&payload[value]=1").status,
            200);
  EXPECT_EQ(call("POST", "/v1/billing/meter_events",
                 "event_name=other&payload[value]=1&payload[stripe_customer_id]=cus_1")
                .status,
            200);
  EXPECT_EQ(event("f", "1").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  let_reports_come();
  EXPECT_EQ(reported(), (std::map<std::string, int>{{"meter_event_invalid_value", 1},
                                                    {"meter_event_value_too_many_digits", 1},
                                                    {"meter_event_value_not_found", 1},
                                                    {"timestamp_too_far_in_past", 1},
                                                    {"timestamp_in_future", 1},
                                                    {"meter_event_no_customer_defined", 1},
                                                    {"no_meter", 1}}));
  int unmatched = 0;
  for (const Json& thin : notifications()) {
    if (thin["type"] != "v1.billing.meter.no_meter_found") continue;
    ++unmatched;
    EXPECT_TRUE(thin["related_object"].is_null());
    EXPECT_THAT(fetched(thin).dump(), HasSubstr("No meter was found matching event_name other."));
  }
  EXPECT_EQ(unmatched, 1);
}

TEST_F(AsyncTest, CustomersCanBeCheckedAtOnce) {
  set({{"async_checks", Json::array()}});
  remove("cus_1");
  const auto refused = of("cus_1", "a");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(code(refused), "meter_event_customer_not_found");
}

TEST_F(AsyncTest, UnknownCustomersExistWhenTold) {
  EXPECT_EQ(of("cus_any", "a").status, 200) << "told so by the fixture";
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  set({{"unknown_customers", "reject"}});
  EXPECT_EQ(call("GET", "/v1/customers/cus_any").status, 404);
  const std::string made =
      json(call("POST", "/v1/customers", "name=N&email=a@b.c&metadata[tally_tenant]=t"))["id"];
  EXPECT_EQ(json(call("GET", "/v1/customers/" + made))["metadata"]["tally_tenant"], "t");
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"id":"cus_mine"})").status, 200);
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"id":"cus_mine"})").status, 200) << "is there";
  remove("cus_mine");
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"id":"cus_mine"})").status, 400) << "deleted";
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"ids":["cus_b","a/b"]})").status, 400);
  EXPECT_EQ(call("GET", "/v1/customers/cus_b").status, 404) << "refused whole";
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"ids":["cus_b","cus_c"]})").status, 200);
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"ids":[]})").status, 200);
  for (const char* wrong : {R"({"id":7})", R"({"ids":"x"})", "{}", "[]", R"({"id":""})"}) {
    EXPECT_EQ(call("POST", "/sandbox/customers", wrong).status, 400) << wrong;
  }
  for (const std::string& customer : {std::string("cus_any"), made, std::string("cus_c")}) {
    EXPECT_EQ(of(customer, "b" + customer).status, 200);
  }
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  EXPECT_EQ(totals()["tokens"]["total"], "3");
}

TEST_F(AsyncTest, ReportsOfTenSecondsHoldSamplesOnly) {
  set({{"error_samples", 3}});
  remove("cus_1");
  for (int i = 0; i < 7; ++i) of("cus_1", "a" + std::to_string(i));
  now_ += 9;
  of("cus_1", "b");
  now_ += 1;
  of("cus_1", "c");
  let_reports_come();
  ASSERT_EQ(notifications().size(), 2U);
  const Json first = fetched(notifications()[0])["data"]["reason"];
  EXPECT_EQ(first["error_count"], 8);
  EXPECT_EQ(first["error_types"][0]["error_count"], 8);
  EXPECT_EQ(first["error_types"][0]["sample_errors"].size(), 3U);
  EXPECT_EQ(fetched(notifications()[1])["data"]["reason"]["error_count"], 1);
}

TEST_F(AsyncTest, SamplesNameTheIdentifierOrTheIdempotencyKey) {
  set({{"error_request", "idempotency_key"}});
  remove("cus_1");
  of("cus_1", "a");
  let_reports_come();
  const Json data = fetched(notifications()[0])["data"];
  EXPECT_EQ(data["reason"]["error_types"][0]["sample_errors"][0]["request"]["identifier"], "key-a");
}

TEST_F(AsyncTest, AReportMayCarryACodeThatNobodyKnows) {
  set({{"error_codes", {{"meter_event_customer_not_found", "brand_new"}}}});
  remove("cus_1");
  of("cus_1", "a");
  let_reports_come();
  EXPECT_EQ(reported(), (std::map<std::string, int>{{"brand_new", 1}}));
}

TEST_F(AsyncTest, ANewCustomerNeverTakesTheIdOfAnother) {
  EXPECT_EQ(call("POST", "/sandbox/customers", R"({"id":"cus_test_00000002"})").status, 200);
  const std::string made = json(call("POST", "/v1/customers", "name=N"))["id"];
  EXPECT_NE(made, "cus_test_00000002");
  remove(made);
  EXPECT_NE(json(call("POST", "/v1/customers", "name=N"))["id"], made);
}

TEST_F(AsyncTest, ARejectedEventBurnsItsIdentifierUnlessToldOtherwise) {
  remove("cus_1");
  of("cus_1", "a");
  EXPECT_EQ(event("a", "1").status, 400);
  set({{"spent_identifiers", "freed"}});
  EXPECT_EQ(of("cus_2", "a").status, 400) << "the key was used with other parameters";
  EXPECT_EQ(call("POST", "/v1/billing/meter_events",
                 "event_name=tokens&identifier=a&payload[value]=1&payload[stripe_customer_id]=c")
                .status,
            200);
}

TEST_F(AsyncTest, EventsAreKeptFor30DaysAndUnknownOnesAre404) {
  remove("cus_1");
  of("cus_1", "a");
  let_reports_come();
  const std::string id = notifications()[0]["id"];
  const auto unknown = call("GET", "/v2/core/events/evt_none");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(code(unknown), "not_found");
  now_ += 30 * 86'400 - 10;
  EXPECT_EQ(call("GET", "/v2/core/events/" + id).status, 200);
  now_ += 1;
  EXPECT_EQ(call("GET", "/v2/core/events/" + id).status, 404);
  EXPECT_EQ(call("POST", "/v2/core/events/" + id).status, 404);
}

TEST_F(AsyncTest, ACancelledEventThatStillWaitsIsNeverCounted) {
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}});
  event("a", "5");
  const auto cancelled = call("POST", "/v1/billing/meter_event_adjustments",
                              "event_name=tokens&type=cancel&cancel[identifier]=a");
  EXPECT_EQ(json(cancelled)["status"], "pending");
  now_ += 60;
  EXPECT_EQ(totals()["tokens"]["total"], "0");
  EXPECT_EQ(totals()["tokens"]["rejected"], 0);
}

}  // namespace
}  // namespace tally::sandbox
