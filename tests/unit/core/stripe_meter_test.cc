#include "core/stripe_meter.h"

#include <gtest/gtest.h>

namespace tally::core {
namespace {

Meter meter_of(Aggregation aggregation) {
  Meter meter;
  meter.slug = "tokens";
  meter.aggregation = aggregation;
  meter.stripe = StripeMapping{"llm_tokens", Decimal::from_int(1), 0, Rounding::kHalfUp};
  return meter;
}

StripeMeter good(const std::string& id = "mtr_1") {
  return {id, "llm_tokens", "sum", "", "by_id", "stripe_customer_id", "value", true};
}

MeterCheck check(const StripeMeter& at_stripe, Aggregation aggregation = Aggregation::kSum) {
  return check_stripe_meter(meter_of(aggregation), {&at_stripe, 1});
}

TEST(StripeMeter, WhatTallySendsFitsARawMeterOfTheRightFormula) {
  for (const Aggregation each :
       {Aggregation::kSum, Aggregation::kCount, Aggregation::kMax, Aggregation::kUniqueCount}) {
    EXPECT_EQ(check(good(), each).fit, MeterFit::kFits);
    EXPECT_EQ(check(good(), each).stripe_meter, "mtr_1");
  }
  StripeMeter last = good();
  last.formula = "last";
  EXPECT_EQ(check(last, Aggregation::kLatest).fit, MeterFit::kFits);
  EXPECT_EQ(check(good(), Aggregation::kMin).fit, MeterFit::kNotExported);
}

TEST(StripeMeter, WhatWouldBillSomethingElseIsNamed) {
  const auto fault = [](auto change) {
    StripeMeter meter = good();
    change(meter);
    const MeterCheck found = check(meter);
    EXPECT_EQ(found.fit, MeterFit::kUnfit);
    EXPECT_EQ(found.faults.size(), 1U);
    return found.faults.empty() ? std::string() : found.faults.front();
  };
  EXPECT_NE(fault([](auto& m) { m.formula = "count"; }).find("\"count\""), std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.formula = "last"; }).find("formula"), std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.event_time_window = "day"; }).find("pre-aggregated"),
            std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.customer_key = "customer"; }).find("customer_mapping"),
            std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.customer_type = ""; }).find("customer_mapping"),
            std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.value_key = "tokens"; }).find("value_settings"),
            std::string::npos);
  EXPECT_NE(fault([](auto& m) { m.is_active = false; }).find("inactive"), std::string::npos);
  StripeMeter worst = good();
  worst.formula = "last";
  worst.event_time_window = "hour";
  EXPECT_EQ(check(worst).faults.size(), 2U);
}

// An archived meter keeps its name, and Stripe lists the newest first.
TEST(StripeMeter, OfSeveralOfItsNameTheActiveOneCounts) {
  StripeMeter old = good("mtr_old");
  old.is_active = false;
  old.formula = "count";
  StripeMeter other = good("mtr_other");
  other.event_name = "llm_token";
  const std::vector<StripeMeter> all = {old, other, good("mtr_now"), old};
  const MeterCheck found = check_stripe_meter(meter_of(Aggregation::kSum), all);
  EXPECT_EQ(found.fit, MeterFit::kFits);
  EXPECT_EQ(found.stripe_meter, "mtr_now");
  const std::vector<StripeMeter> gone = {other, old};
  EXPECT_EQ(check_stripe_meter(meter_of(Aggregation::kSum), gone).fit, MeterFit::kMissing);
  const MeterCheck missing = check(other);
  EXPECT_EQ(missing.fit, MeterFit::kMissing);
  EXPECT_EQ(missing.stripe_meter, "");
}

// An unfit meter says "deactivate it"; who has done so gets a new one and no other refusal.
TEST(StripeMeter, TheAdviceLeadsToAMeterThatFits) {
  StripeMeter unfit = good();
  unfit.formula = "count";
  const MeterCheck before = check(unfit);
  ASSERT_EQ(before.faults.size(), 1U);
  EXPECT_NE(before.faults[0].find("deactivate mtr_1 at Stripe"), std::string::npos);
  EXPECT_NE(before.faults[0].find("tally-admin stripe apply"), std::string::npos);
  unfit.is_active = false;
  EXPECT_EQ(check(unfit).fit, MeterFit::kMissing);
  EXPECT_EQ(check(unfit).stripe_meter, "");
  StripeMeter right = good("mtr_right");
  right.is_active = false;
  const std::vector<StripeMeter> both = {unfit, right};
  const MeterCheck inactive = check_stripe_meter(meter_of(Aggregation::kSum), both);
  EXPECT_EQ(inactive.fit, MeterFit::kUnfit);
  EXPECT_EQ(inactive.stripe_meter, "mtr_right");
  ASSERT_EQ(inactive.faults.size(), 1U);
  EXPECT_NE(inactive.faults[0].find("reactivate"), std::string::npos);
  right.is_active = true;
  EXPECT_EQ(check(right).fit, MeterFit::kFits);
}

}  // namespace
}  // namespace tally::core
