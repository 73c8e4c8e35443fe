// When exports begin.
#include "exporter/schedule.h"

#include "core/timestamp.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tally::exporter {
namespace {

core::Timestamp at(const char* text) { return core::parse_rfc3339(text).value(); }

std::vector<std::string> next_of(const char* fields, const char* from, int count = 3) {
  const auto schedule = Schedule::at(fields);
  if (!schedule) return {schedule.error().message};
  std::vector<std::string> times;
  core::Timestamp moment = at(from);
  for (int i = 0; i < count; ++i) {
    moment = schedule.value().next(moment);
    times.push_back(core::to_rfc3339(moment));
  }
  return times;
}
using Times = std::vector<std::string>;

TEST(Schedule, AnIntervalCountsFromTheMoment) {
  EXPECT_EQ(Schedule::every(std::chrono::seconds(300)).next(at("2026-11-30T23:58:00.5Z")),
            at("2026-12-01T00:03:00.5Z"));
}

TEST(Schedule, StepsListsAndRanges) {
  EXPECT_EQ(next_of("*/20 * * * *", "2026-11-30T23:30:00Z"),
            (Times{"2026-11-30T23:40:00Z", "2026-12-01T00:00:00Z", "2026-12-01T00:20:00Z"}));
  EXPECT_EQ(next_of("5,50 8-18/5 * * *", "2026-11-30T13:05:00Z", 4),
            (Times{"2026-11-30T13:50:00Z", "2026-11-30T18:05:00Z", "2026-11-30T18:50:00Z",
                   "2026-12-01T08:05:00Z"}));
}

TEST(Schedule, AMomentOfItsOwnIsOverAndAPartOfAMinuteIsNot) {
  EXPECT_EQ(next_of("0 0 * * *", "2026-12-31T00:00:00Z", 1), (Times{"2027-01-01T00:00:00Z"}));
  EXPECT_EQ(next_of("0 0 * * *", "2026-11-30T23:59:59.999999Z", 1),
            (Times{"2026-12-01T00:00:00Z"}));
  EXPECT_EQ(next_of("0 0 * * *", "2028-02-28T00:00:00Z", 2),
            (Times{"2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"}));
}

// The 30th of November 2026 is a Monday.
TEST(Schedule, EitherDayWillDoWhereBothAreGiven) {
  EXPECT_EQ(next_of("0 6 * * 1", "2026-11-30T07:00:00Z", 1), (Times{"2026-12-07T06:00:00Z"}));
  EXPECT_EQ(next_of("0 6 2 * 1", "2026-11-30T07:00:00Z"),
            (Times{"2026-12-02T06:00:00Z", "2026-12-07T06:00:00Z", "2026-12-14T06:00:00Z"}));
  EXPECT_EQ(next_of("0 6 * * 7", "2026-11-30T07:00:00Z", 1), (Times{"2026-12-06T06:00:00Z"}));
  EXPECT_EQ(next_of("0 6 * * 0", "2026-11-30T07:00:00Z", 1), (Times{"2026-12-06T06:00:00Z"}));
  EXPECT_EQ(next_of("0 6 */2 * 1-6", "2026-11-30T07:00:00Z", 1), (Times{"2026-12-01T06:00:00Z"}));
}

TEST(Schedule, OneMayBeMissedAndNotTwo) {
  const auto hourly = Schedule::at("5 * * * *");
  ASSERT_TRUE(hourly);
  EXPECT_EQ(hourly.value().overdue_after(at("2026-11-30T23:05:40Z"), std::chrono::seconds(60)),
            at("2026-12-01T01:06:00Z"));
  EXPECT_EQ(Schedule::every(std::chrono::seconds(300))
                .overdue_after(at("2026-11-30T23:00:00Z"), std::chrono::seconds(60)),
            at("2026-11-30T23:11:00Z"));
}

TEST(Schedule, WhatIsNoneNamesTheFieldAndItsRange) {
  EXPECT_EQ(next_of("60 * * * *", "2026-11-30T07:00:00Z"),
            (Times{"'60' is no minute; give numbers from 0 to 59, *, lists (1,15), ranges (1-5) "
                   "or steps (*/5)"}));
  for (const char* wrong : {"", "* * * *", "* * * * * *", "*/0 * * * *", "5-1 * * * *", "a * * * *",
                            "1, * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
                            "-1 * * * *", "1/2 * * * *", "* * * jan *", "99999999999 * * * *"}) {
    EXPECT_FALSE(Schedule::at(wrong)) << wrong;
  }
}

// Usage of the days between would be on no invoice.
TEST(Schedule, MoreThanAWeekBetweenTwoIsRefused) {
  for (const char* rare : {"0 6 1 * *", "0 0 30 2 *", "0 0 29 2 */7", "0 6 * 2 *", "0 6 */8 * *"})
    EXPECT_NE(next_of(rare, "2026-11-30T07:00:00Z").front().find("more than a week"),
              std::string::npos)
        << rare;
  EXPECT_TRUE(Schedule::at("0 6 * * 1"));
  EXPECT_TRUE(Schedule::at("0 6 1,8,15,22,29 * *"));
}

TEST(Schedule, WhatIsLeftToDoIsLookedAtSooner) {
  const auto daily = Schedule::at("0 6 * * *");
  ASSERT_TRUE(daily);
  EXPECT_EQ(daily.value().next_look(at("2026-11-30T06:00:00Z"), true), at("2026-12-01T06:00:00Z"));
  EXPECT_EQ(daily.value().next_look(at("2026-11-30T06:00:00Z"), false), at("2026-11-30T06:05:00Z"));
  EXPECT_EQ(daily.value().next_look(at("2026-11-30T05:58:00Z"), false), at("2026-11-30T06:00:00Z"));
}

}  // namespace
}  // namespace tally::exporter
