#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

using testing::HasSubstr;

class AdjustmentsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter_ = meter();
  }
  runtime::http::Response cancel(const std::string& identifier, const std::string& more = "") {
    return call("POST", "/v1/billing/meter_event_adjustments",
                "event_name=tokens&type=cancel&cancel[identifier]=" + identifier + more);
  }
  std::string meter_;
};

TEST_F(AdjustmentsTest, CancelWithin24HoursOfReception) {
  ASSERT_EQ(event("a", "5").status, 200);
  ASSERT_EQ(event("b", "7", "&timestamp=" + std::to_string(kStart - 3'600)).status, 200);
  ASSERT_EQ(event("c", "9").status, 200);
  const auto done = json(cancel("a"));
  EXPECT_EQ(done["object"], "billing.meter_event_adjustment");
  EXPECT_EQ(done["status"], "complete");
  EXPECT_EQ(done["cancel"]["identifier"], "a");
  EXPECT_EQ(done["event_name"], "tokens");
  EXPECT_EQ(totals()["tokens"]["total"], "16");
  now_ += 86'399;
  EXPECT_EQ(cancel("b").status, 200) << "counted from reception, not from the event's time";
  now_ += 1;
  EXPECT_EQ(code(cancel("c")), "out_of_window");
  EXPECT_EQ(totals()["tokens"]["total"], "9");
}

TEST_F(AdjustmentsTest, WhatIsNotThereCannotBeCancelled) {
  ASSERT_EQ(event("a", "5").status, 200);
  EXPECT_EQ(code(cancel("none")), "resource_missing");
  EXPECT_EQ(code(call("POST", "/v1/billing/meter_event_adjustments",
                      "event_name=other&type=cancel&cancel[identifier]=a")),
            "resource_missing");
  EXPECT_EQ(call("POST", "/v1/billing/meter_event_adjustments",
                 "event_name=tokens&type=undo&cancel[identifier]=a")
                .status,
            400);
  EXPECT_EQ(
      code(call("POST", "/v1/billing/meter_event_adjustments", "event_name=tokens&type=cancel")),
      "parameter_missing");
  EXPECT_THAT(message(cancel(std::string(101, 'x'))), HasSubstr("at most 100 characters"));
  EXPECT_EQ(totals()["tokens"]["total"], "5");
}

TEST_F(AdjustmentsTest, ACancelledEventBurnsItsIdentifierUnlessToldOtherwise) {
  ASSERT_EQ(event("a", "5").status, 200);
  ASSERT_EQ(cancel("a").status, 200);
  EXPECT_THAT(message(event("a", "6")), HasSubstr("already exists"));
  set({{"spent_identifiers", "freed"}});
  EXPECT_EQ(event("a", "6").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "6");
  EXPECT_EQ(cancel("a").status, 200) << "the newer one";
  EXPECT_EQ(totals()["tokens"]["total"], "0");
}

TEST_F(AdjustmentsTest, PreAggregatedMetersRefuseUnlessToldOtherwise) {
  call("POST", "/v1/billing/meters/" + meter_ + "/deactivate");
  const std::string id = meter("tokens", "sum", "&event_time_window=hour");
  event("a", "5");
  event("b", "7");
  const auto refused = cancel("b");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(totals()["tokens@" + id]["total"], "7");
  set({{"cancel_preaggregated", true}});
  EXPECT_EQ(cancel("b").status, 200);
  EXPECT_EQ(totals()["tokens@" + id]["total"], "5") << "the one before counts again";
}

}  // namespace
}  // namespace tally::sandbox
