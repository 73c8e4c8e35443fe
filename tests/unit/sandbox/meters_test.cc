#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

using testing::HasSubstr;

class MetersTest : public SandboxTest {};

TEST_F(MetersTest, CreatedListedAndRead) {
  const std::string id =
      meter("tokens", "last", "&event_time_window=hour&value_settings[event_payload_key]=n");
  const auto shown = json(call("GET", "/v1/billing/meters/" + id));
  EXPECT_EQ(shown["object"], "billing.meter");
  EXPECT_EQ(shown["default_aggregation"]["formula"], "last");
  EXPECT_EQ(shown["event_time_window"], "hour");
  EXPECT_EQ(shown["value_settings"]["event_payload_key"], "n");
  EXPECT_EQ(shown["created"], kStart);
  EXPECT_EQ(call("GET", "/v1/billing/meters/mtr_none").status, 404);
}

TEST_F(MetersTest, ListsPageNewestFirst) {
  for (int i = 0; i < 12; ++i) meter("e" + std::to_string(i));
  const auto first = json(call("GET", "/v1/billing/meters"));
  ASSERT_EQ(first["data"].size(), 10U);
  EXPECT_EQ(first["has_more"], true);
  EXPECT_EQ(first["data"][0]["event_name"], "e11");
  const std::string last = first["data"][9]["id"];
  const auto rest = json(call("GET", "/v1/billing/meters?starting_after=" + last));
  EXPECT_EQ(rest["data"].size(), 2U);
  EXPECT_EQ(rest["has_more"], false);
  const std::string before = rest["data"][1]["id"];
  const auto back = json(call("GET", "/v1/billing/meters?limit=3&ending_before=" + before));
  EXPECT_EQ(back["data"][2]["event_name"], "e1");
  EXPECT_EQ(call("GET", "/v1/billing/meters?limit=101").status, 400);
  EXPECT_EQ(call("GET", "/v1/billing/meters?limit=0").status, 400);
  EXPECT_EQ(call("GET", "/v1/billing/meters?starting_after=mtr_none").status, 400);
  EXPECT_EQ(call("GET", "/v1/billing/meters?surprise=1").status, 400);
}

TEST_F(MetersTest, OneActiveMeterPerEventName) {
  const std::string id = meter();
  const std::string again = "display_name=M&event_name=tokens&default_aggregation[formula]=sum";
  EXPECT_THAT(message(call("POST", "/v1/billing/meters", again)),
              HasSubstr("existing active meter"));
  EXPECT_EQ(json(call("POST", "/v1/billing/meters/" + id + "/deactivate"))["status"], "inactive");
  EXPECT_EQ(call("POST", "/v1/billing/meters", again).status, 200);
  EXPECT_EQ(call("POST", "/v1/billing/meters/" + id + "/reactivate").status, 400);
  EXPECT_EQ(json(call("GET", "/v1/billing/meters?status=inactive"))["data"].size(), 1U);
}

TEST_F(MetersTest, DeactivatedMetersTakeNoEvents) {
  const std::string id = meter();
  call("POST", "/v1/billing/meters/" + id + "/deactivate");
  EXPECT_EQ(message(event("a", "1")), "No active meter found for event name \"tokens\".");
  call("POST", "/v1/billing/meters/" + id + "/reactivate");
  EXPECT_EQ(event("a", "1").status, 200);
}

TEST_F(MetersTest, OtherPayloadKeysAreUsed) {
  const std::string id =
      meter("tokens", "sum",
            "&customer_mapping[event_payload_key]=who&customer_mapping[type]=by_id"
            "&value_settings[event_payload_key]=much");
  EXPECT_EQ(event("a", "1").status, 400);
  EXPECT_EQ(call("POST", "/v1/billing/meter_events",
                 "event_name=tokens&payload[who]=cus_1&payload[much]=4")
                .status,
            200);
  EXPECT_EQ(totals()["tokens"]["customers"]["cus_1"], "4");
}

TEST_F(MetersTest, OnlyTheDisplayNameChanges) {
  const std::string url = "/v1/billing/meters/" + meter();
  now_ += 5;
  const auto changed = json(call("POST", url, "display_name=Other"));
  EXPECT_EQ(changed["display_name"], "Other");
  EXPECT_EQ(changed["updated"], kStart + 5);
  EXPECT_EQ(changed["created"], kStart);
  EXPECT_EQ(call("POST", url, "event_name=other").status, 400);
  EXPECT_EQ(call("POST", url, "display_name=" + std::string(251, 'x')).status, 400);
}

TEST_F(MetersTest, AMappingIsWholeOrAbsent) {
  const std::string body = "display_name=M&event_name=t&default_aggregation[formula]=sum";
  for (const char* half :
       {"&customer_mapping[event_payload_key]=who", "&customer_mapping[type]=by_id",
        "&customer_mapping[type]=by_name"
        "&customer_mapping[event_payload_key]=who"}) {
    EXPECT_EQ(call("POST", "/v1/billing/meters", body + half).status, 400) << half;
  }
}

TEST_F(MetersTest, WrongShapesAreRefused) {
  const std::string url = "/v1/billing/meters";
  EXPECT_EQ(call("POST", url, "event_name=t&default_aggregation[formula]=sum").status, 400);
  EXPECT_EQ(
      call("POST", url, "display_name=M&event_name=t&default_aggregation[formula]=max").status,
      400);
  EXPECT_EQ(
      call("POST", url,
           "display_name=M&event_name=t&default_aggregation[formula]=sum&event_time_window=week")
          .status,
      400);
  EXPECT_EQ(
      call("POST", url,
           "display_name=M&default_aggregation[formula]=sum&event_name=" + std::string(101, 'x'))
          .status,
      400);
  runtime::http::Request in_json{
      "POST",
      url,
      {{"Authorization", "Bearer sk_test_1"}, {"Content-Type", "application/json"}},
      "{}"};
  EXPECT_EQ(sandbox_->handle(in_json).status, 400);
  EXPECT_THAT(message(call("GET", "/v1/billing/nothing")),
              HasSubstr("Unrecognized request URL (GET: /v1/billing/nothing)"));
}

}  // namespace
}  // namespace tally::sandbox
