// What the program does when nobody tells it otherwise: the harder of two ways, so that an exporter
// that is wrong does not pass.
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

class DefaultsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start_with(nlohmann::json::object());
    meter();
  }
  // Past the delay of every event and the window of every report.
  void let_everything_come() { now_ += 60; }
  void customer(const std::string& id) {
    ASSERT_EQ(call("POST", "/sandbox/customers", nlohmann::json{{"id", id}}.dump()).status, 200);
  }
};

TEST_F(DefaultsTest, ACustomerThatNobodyMadeIsNotBilled) {
  EXPECT_EQ(event("a", "1", "", "key-a").status, 200);
  let_everything_come();
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  EXPECT_EQ(totals()["tokens"]["total"], "0");
  const auto thin = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(thin.size(), 1U);
  const std::string id = thin[0]["id"];
  const auto type = json(call("GET", "/v2/core/events/" + id))["data"]["reason"]["error_types"][0];
  EXPECT_EQ(type["code"], "meter_event_customer_not_found");
  EXPECT_EQ(type["sample_errors"][0]["request"]["identifier"], "key-a")
      << "a sample names the request by its key";
  customer("cus_1");
  steady_ += std::chrono::seconds(1);
  EXPECT_EQ(event("b", "1").status, 200);
  let_everything_come();
  EXPECT_EQ(totals()["tokens"]["total"], "1");
}

TEST_F(DefaultsTest, TwoCallsAtOnceForOneCustomerAndMeterConflict) {
  customer("cus_1");
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  EXPECT_EQ(event("b", "1").status, 409);
  EXPECT_EQ(code(event("a", "1", "", "k")), "idempotency_key_in_use");
  EXPECT_EQ(counters()["series_held"], 1);
  EXPECT_EQ(counters()["refused"]["same-series"], 1);
}

TEST_F(DefaultsTest, ASummaryLags) {
  customer("cus_1");
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(event(std::to_string(i), "1").status, 200);
    steady_ += std::chrono::seconds(1);
  }
  EXPECT_GT(totals()["tokens"]["pending"], 0);
  let_everything_come();
  EXPECT_EQ(totals()["tokens"]["total"], "20");
}

TEST_F(DefaultsTest, RatesAreThoseOfALiveAccount) {
  int taken = 0;
  for (int i = 0; i < 1'100; ++i) {
    const std::string number = std::to_string(i);
    taken += call("POST", "/v1/billing/meter_events",
                  "event_name=tokens&payload[value]=1&payload[stripe_customer_id]=" + number)
                         .status == 200
                 ? 1
                 : 0;
  }
  EXPECT_EQ(taken, 1'000);
}

TEST_F(DefaultsTest, CountMetersAskForTheirValueAndSummariesAddDoubles) {
  const auto shown = json(call("GET", "/sandbox/settings"));
  EXPECT_EQ(shown["summary_arithmetic"], "doubles");
  meter("calls", "count");
  EXPECT_EQ(
      call("POST", "/v1/billing/meter_events", "event_name=calls&payload[stripe_customer_id]=cus_1")
          .status,
      400);
}

}  // namespace
}  // namespace tally::sandbox
