#include "exporter/doctor/clock.h"

#include <gtest/gtest.h>

namespace tally::exporter::doctor {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

ClockReading reading(std::int64_t theirs_micros, std::int64_t resolution = 0) {
  return {core::Timestamp::from_seconds(1'000), core::Timestamp::from_micros(theirs_micros),
          core::Timestamp::from_seconds(1'010), resolution};
}

TEST(DoctorClock, TheTimeOfTheQuestionAndTheResolutionExplainWhatTheyCan) {
  EXPECT_EQ(surely_behind_micros(reading(1'000 * kSecond)), 0);
  EXPECT_EQ(surely_behind_micros(reading(1'010 * kSecond)), 0);
  EXPECT_EQ(surely_behind_micros(reading(1'012 * kSecond)), 2 * kSecond);
  EXPECT_EQ(surely_behind_micros(reading(997 * kSecond)), -3 * kSecond);
  EXPECT_EQ(surely_behind_micros(reading(999 * kSecond, kSecond)), 0);
  EXPECT_EQ(surely_behind_micros(reading(998 * kSecond, kSecond)), -kSecond);
}

TEST(DoctorClock, ALittleIsNothingMoreIsAWarningAndMuchAFailure) {
  const auto level = [](std::int64_t theirs_seconds) {
    return check_clock("stripe clock", "Stripe's", reading(theirs_seconds * kSecond)).level;
  };
  EXPECT_EQ(level(1'015), Level::kOk);
  EXPECT_EQ(level(1'016), Level::kWarn);
  EXPECT_EQ(level(1'130), Level::kWarn);
  EXPECT_EQ(level(1'131), Level::kFail);
  EXPECT_EQ(level(995), Level::kOk);
  EXPECT_EQ(level(994), Level::kWarn);
  EXPECT_EQ(level(0), Level::kFail);
  const Finding behind = check_clock("c", "Stripe's", reading(2'010 * kSecond));
  EXPECT_EQ(behind.says,
            "this machine's clock is 1000 s behind Stripe's (1970-01-01T00:33:30Z there)");
  const Finding ahead = check_clock("c", "Stripe's", reading(0));
  EXPECT_NE(ahead.says.find("1000 s ahead of Stripe's"), std::string::npos) << ahead.says;
  EXPECT_FALSE(ahead.next.empty());
}

}  // namespace
}  // namespace tally::exporter::doctor
