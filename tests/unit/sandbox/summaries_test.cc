#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

class SummariesTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    id_ = meter();
  }
  void at(std::int64_t offset, const std::string& value) {
    const auto response = event("e" + std::to_string(count_++), value,
                                "&timestamp=" + std::to_string(kStart + offset));
    ASSERT_EQ(response.status, 200) << response.body;
  }
  runtime::http::Response ask(std::int64_t from, std::int64_t to, const std::string& more = "") {
    return call("GET", "/v1/billing/meters/" + id_ + "/event_summaries?customer=cus_1&start_time=" +
                           std::to_string(kStart + from) +
                           "&end_time=" + std::to_string(kStart + to) + more);
  }
  std::string id_;
  int count_ = 0;
};

TEST_F(SummariesTest, RangeIsHalfOpen) {
  at(-121, "1");
  at(-120, "2");
  at(-61, "4");
  at(-60, "8");
  const auto rows = json(ask(-120, -60))["data"];
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["aggregated_value"], 6);
  EXPECT_EQ(rows[0]["start_time"], kStart - 120);
  EXPECT_EQ(rows[0]["end_time"], kStart - 60);
  EXPECT_EQ(rows[0]["object"], "billing.meter_event_summary");
  EXPECT_EQ(json(ask(-600, -540))["data"].size(), 0U);
}

TEST_F(SummariesTest, GroupsByHourNewestFirstAndPages) {
  for (int hour = 1; hour <= 12; ++hour) at(-3600 * hour, std::to_string(hour));
  at(-1, "100");
  const auto first = json(ask(-13 * 3600, 0, "&value_grouping_window=hour"));
  ASSERT_EQ(first["data"].size(), 10U);
  EXPECT_EQ(first["has_more"], true);
  EXPECT_EQ(first["data"][0]["aggregated_value"], 101);
  EXPECT_EQ(first["data"][0]["start_time"], kStart - 3600);
  const std::string last = first["data"][9]["id"];
  const auto rest = json(ask(-13 * 3600, 0, "&value_grouping_window=hour&starting_after=" + last));
  EXPECT_EQ(rest["data"].size(), 2U);
  EXPECT_EQ(rest["data"][1]["aggregated_value"], 12);
  EXPECT_EQ(json(ask(-13 * 3600, 0, "&value_grouping_window=hour&limit=100"))["data"].size(), 12U);
}

TEST_F(SummariesTest, MisalignedOrMissingTimesAre400) {
  EXPECT_EQ(ask(-61, 0).status, 400);
  EXPECT_EQ(ask(-60, 1).status, 400);
  EXPECT_EQ(ask(-60, 0, "&value_grouping_window=hour").status, 400);
  EXPECT_EQ(ask(-3600, 0, "&value_grouping_window=hour").status, 200);
  EXPECT_EQ(ask(-3600, 0, "&value_grouping_window=week").status, 400);
  EXPECT_EQ(ask(0, 0).status, 400);
  EXPECT_EQ(ask(-60, 0, "&limit=101").status, 400);
  EXPECT_EQ(
      call("GET", "/v1/billing/meters/" + id_ + "/event_summaries?customer=cus_1&start_time=0")
          .status,
      400);
}

TEST_F(SummariesTest, NumbersTravelThroughADouble) {
  at(-60, "0.1");
  at(-60, "0.2");
  EXPECT_EQ(json(ask(-60, 0))["data"][0]["aggregated_value"], 0.3);
  for (int i = 0; i < 20; ++i) at(-60, "999999999999999");
  at(-60, "0.7");
  EXPECT_EQ(totals()["tokens"]["total"], "19999999999999981");
  EXPECT_EQ(json(ask(-60, 0))["data"][0]["aggregated_value"], 19999999999999980);
}

TEST_F(SummariesTest, SumsMayBeMadeOfDoubles) {
  set({{"summary_arithmetic", "doubles"}});
  at(-60, "0.1");
  at(-60, "0.2");
  EXPECT_EQ(json(ask(-60, 0))["data"][0]["aggregated_value"], 0.1 + 0.2);
  EXPECT_EQ(totals()["tokens"]["total"], "0.3") << "the oracle is exact";
}

TEST_F(SummariesTest, DaysAreUtcDays) {
  const std::int64_t day = kStart / 86'400 * 86'400 - kStart;  // the day's start, from kStart
  at(day, "1");
  at(day - 1, "2");
  const auto rows = json(ask(day - 86'400, day + 86'400, "&value_grouping_window=day"))["data"];
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["aggregated_value"], 1);
  EXPECT_EQ(rows[0]["start_time"], kStart + day);
  EXPECT_EQ(rows[0]["end_time"], kStart + day + 86'400);
  EXPECT_EQ(rows[1]["aggregated_value"], 2);
  EXPECT_EQ(ask(day - 3'600, day + 86'400, "&value_grouping_window=day").status, 400);
}

TEST_F(SummariesTest, PagesGoBackwardsToo) {
  for (int hour = 1; hour <= 5; ++hour) at(-3600 * hour, std::to_string(hour));
  const auto all = json(ask(-5 * 3600, 0, "&value_grouping_window=hour"))["data"];
  ASSERT_EQ(all.size(), 5U);
  const std::string fourth = all[3]["id"];
  const auto before =
      json(ask(-5 * 3600, 0, "&value_grouping_window=hour&limit=2&ending_before=" + fourth));
  ASSERT_EQ(before["data"].size(), 2U);
  EXPECT_EQ(before["data"][0]["aggregated_value"], 2);
  EXPECT_EQ(before["has_more"], true);
  EXPECT_EQ(ask(-60, 0, "&starting_after=mtrusg_none").status, 400);
}

TEST_F(SummariesTest, LastTakesTheLatestAndOnATieTheLaterReceived) {
  call("POST", "/v1/billing/meters/" + id_ + "/deactivate");
  id_ = meter("tokens", "last");
  at(-60, "5");
  at(-120, "7");
  EXPECT_EQ(json(ask(-120, 0))["data"][0]["aggregated_value"], 5);
  at(-60, "6");
  EXPECT_EQ(json(ask(-120, 0))["data"][0]["aggregated_value"], 6);
  call("POST", "/v1/billing/meter_events",
       "event_name=tokens&payload[value]=10&payload[stripe_customer_id]=cus_2");
  EXPECT_EQ(totals()["tokens@" + id_]["total"], "16");
}

TEST_F(SummariesTest, CountNeedsNoValue) {
  call("POST", "/v1/billing/meters/" + id_ + "/deactivate");
  id_ = meter("calls", "count");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(call("POST", "/v1/billing/meter_events",
                   "event_name=calls&payload[stripe_customer_id]=cus_1&timestamp=" +
                       std::to_string(kStart - 1))
                  .status,
              200);
  }
  EXPECT_EQ(json(ask(-60, 0))["data"][0]["aggregated_value"], 3);
  EXPECT_EQ(totals()["calls"]["total"], "3");
}

TEST_F(SummariesTest, WindowedMetersKeepTheLastReceivedOfAnHour) {
  call("POST", "/v1/billing/meters/" + id_ + "/deactivate");
  id_ = meter("tokens", "sum", "&event_time_window=hour");
  at(-10, "5");
  at(-1000, "7");
  at(-4000, "100");
  EXPECT_EQ(json(ask(-7200, 0))["data"][0]["aggregated_value"], 107);
}

TEST_F(SummariesTest, WindowedMetersMayKeepTheLastReceivedOfADay) {
  call("POST", "/v1/billing/meters/" + id_ + "/deactivate");
  id_ = meter("tokens", "sum", "&event_time_window=day");
  at(-10, "5");
  at(-2 * 3600, "7");
  at(-86'400, "100");
  EXPECT_EQ(json(ask(-2 * 86'400, 0))["data"][0]["aggregated_value"], 107);
}

TEST_F(SummariesTest, OtherCustomersAreApart) {
  at(-60, "1");
  const auto other =
      call("GET", "/v1/billing/meters/" + id_ + "/event_summaries?customer=cus_2&start_time=" +
                      std::to_string(kStart - 60) + "&end_time=" + std::to_string(kStart));
  EXPECT_EQ(json(other)["data"].size(), 0U);
}

}  // namespace
}  // namespace tally::sandbox
