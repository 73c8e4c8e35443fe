#include "runtime/stripe/lists.h"

#include "tests/support/stripe_script.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tally::runtime::stripe {
namespace {

using testsupport::stripe_answer;
using testsupport::StripeCall;
using testsupport::StripeScript;

std::string list(const std::string& data, bool has_more = false) {
  return fmt::format(R"({{"object":"list","data":[{}],"has_more":{}}})", data, has_more);
}

TEST(StripeLists, AMeterIsReadInStripesWords) {
  const auto page = meter_page_of(list(
      R"({"id":"mtr_1","event_name":"tokens","default_aggregation":{"formula":"sum"},)"
      R"("event_time_window":"day","customer_mapping":{"event_payload_key":"who","type":"by_id"},)"
      R"("value_settings":{"event_payload_key":"n"},"status":"active"},)"
      R"({"id":"mtr_2","event_name":"seats","event_time_window":null,"status":"inactive"})",
      true));
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->meters.size(), 2U);
  const core::StripeMeter& meter = page->meters[0];
  EXPECT_EQ(meter.formula, "sum");
  EXPECT_EQ(meter.event_time_window, "day");
  EXPECT_EQ(meter.customer_key, "who");
  EXPECT_EQ(meter.customer_type, "by_id");
  EXPECT_EQ(meter.value_key, "n");
  EXPECT_TRUE(meter.is_active);
  EXPECT_FALSE(page->meters[1].is_active);
  EXPECT_EQ(page->meters[1].event_time_window, "");
  EXPECT_EQ(page->more_after, "mtr_2");
  EXPECT_EQ(meter_page_of(list(""))->more_after, "");
  for (const char* other : {"", "<html>", "{}", R"({"object":"list"})", R"({"error":{}})",
                            R"({"object":"list","data":[{"event_name":"a"}]})",
                            R"({"object":"list","data":["mtr_1"]})"}) {
    EXPECT_FALSE(meter_page_of(other).has_value()) << other;
  }
}

TEST(StripeLists, AMeterWithoutAnEventNameStopsNobody) {
  const auto page = meter_page_of(list(R"({"id":"mtr_1"},{"id":"mtr_2","event_name":"a"})"));
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->meters.size(), 2U);
  EXPECT_EQ(page->meters[0].event_name, "");
  EXPECT_EQ(page->meters[1].event_name, "a");
}

TEST(StripeLists, PagesAreReadToTheEnd) {
  StripeScript api([](const StripeCall& call) {
    const bool first = call.target.find("starting_after") == std::string::npos;
    return stripe_answer(200, first ? list(R"({"id":"mtr/1","event_name":"a"})", true)
                                    : list(R"({"id":"mtr_2","event_name":"b"})"));
  });
  const auto meters = list_meters(api);
  EXPECT_TRUE(meters.is_whole()) << meters.problem;
  ASSERT_EQ(meters.entries.size(), 2U);
  EXPECT_EQ(meters.entries[1].event_name, "b");
  ASSERT_EQ(api.calls.size(), 2U);
  EXPECT_EQ(api.calls[0].target, "/v1/billing/meters?limit=100");
  EXPECT_EQ(api.calls[1].target, "/v1/billing/meters?limit=100&starting_after=mtr%2F1");
}

TEST(StripeLists, AListThatIsCutShortHasAProblem) {
  StripeScript refused(
      [](const StripeCall&) { return stripe_answer(403, R"({"error":{"message":"no"}})"); });
  EXPECT_EQ(list_meters(refused).problem, "403 no");
  EXPECT_EQ(list_meters(refused).status, 403);
  StripeScript other([](const StripeCall&) { return stripe_answer(200, "<html>"); });
  EXPECT_FALSE(list_meters(other).is_whole());
  StripeScript endless([](const StripeCall&) {
    return stripe_answer(200, list(R"({"id":"mtr_1","event_name":"a"})", true));
  });
  EXPECT_EQ(list_meters(endless).problem, "more than 2000 entries");
  EXPECT_EQ(endless.calls.size(), kMostMeterPages);
}

std::string subscription(const std::string& id, const std::string& customer,
                         const std::string& status, const std::string& items,
                         bool has_more = false) {
  return fmt::format(R"({{"id":"{}","customer":{},"status":"{}","items":{}}})", id, customer,
                     status, list(items, has_more));
}
std::string item(const std::string& id, const std::string& meter) {
  return fmt::format(R"({{"id":"{}","price":{{"id":"p","recurring":{{"meter":{}}}}}}})", id, meter);
}

TEST(StripeLists, MeteredItemsOfSubscriptionsThatCanStillBeBilled) {
  StripeScript api([](const StripeCall& call) {
    if (call.target.starts_with("/v1/subscription_items?subscription=sub_4")) {
      return stripe_answer(200, list(item("si_5", R"("mtr_1")") + "," + item("si_6", "null")));
    }
    return stripe_answer(
        200,
        list(subscription("sub_1", R"("cus_1")", "active",
                          item("si_1", R"("mtr_1")") + "," + item("si_2", "null")) +
             "," +
             subscription("sub_2", R"({"id":"cus_2"})", "canceled", item("si_3", R"("mtr_1")")) +
             "," +
             subscription("sub_3", R"({"id":"cus_2"})", "past_due", item("si_4", R"("mtr_2")")) +
             "," +
             subscription("sub_4", R"("cus_3")", "trialing", item("si_5", R"("mtr_1")"), true)));
  });
  const auto items = list_metered_items(api);
  EXPECT_TRUE(items.is_whole()) << items.problem;
  ASSERT_EQ(items.entries.size(), 3U);
  EXPECT_EQ(items.entries[0].item, "si_1");
  EXPECT_EQ(items.entries[0].customer, "cus_1");
  EXPECT_EQ(items.entries[1].customer, "cus_2");
  EXPECT_EQ(items.entries[1].stripe_meter, "mtr_2");
  EXPECT_EQ(items.entries[2].item, "si_5");
  EXPECT_EQ(items.entries[2].subscription, "sub_4");
  EXPECT_EQ(api.calls[0].target, "/v1/subscriptions?limit=100");

  StripeScript odd([](const StripeCall&) { return stripe_answer(200, list(R"({"id":"sub_1"})")); });
  EXPECT_FALSE(list_metered_items(odd).is_whole());
}

}  // namespace
}  // namespace tally::runtime::stripe
