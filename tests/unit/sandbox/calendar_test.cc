// Edges of billing periods.
#include "tests/support/sandbox/calendar.h"

#include <gtest/gtest.h>

namespace tally::sandbox {
namespace {

constexpr std::int64_t kDay = 86'400;
// 2027-01-31T12:34:56Z
constexpr std::int64_t kAnchor = 1'801'398'896;

TEST(CalendarTest, AMonthsEdgeIsTheAnchorsDayOrTheLastOfAShorterMonth) {
  const Rhythm monthly{Interval::kMonth, 1};
  EXPECT_EQ(edge(kAnchor, monthly, 0), kAnchor);
  EXPECT_EQ(edge(kAnchor, monthly, 1), kAnchor + 28 * kDay) << "February 28";
  EXPECT_EQ(edge(kAnchor, monthly, 2), kAnchor + 59 * kDay) << "March 31 again";
  EXPECT_EQ(edge(kAnchor, monthly, 3), kAnchor + 89 * kDay) << "April 30";
  EXPECT_EQ(edge(kAnchor, monthly, -2), kAnchor - 62 * kDay) << "November 30";
  EXPECT_EQ(edge(kAnchor, monthly, 13), kAnchor + (365 + 29) * kDay) << "the leap year's day";
}

TEST(CalendarTest, OtherRhythms) {
  EXPECT_EQ(edge(kAnchor, {Interval::kDay, 3}, 2), kAnchor + 6 * kDay);
  EXPECT_EQ(edge(kAnchor, {Interval::kWeek, 1}, 1), kAnchor + 7 * kDay);
  EXPECT_EQ(edge(kAnchor, {Interval::kYear, 1}, 1), kAnchor + 365 * kDay);
  EXPECT_EQ(edge(kAnchor, {Interval::kMonth, 3}, 1), kAnchor + 89 * kDay);
}

TEST(CalendarTest, TheEdgeAfterATimeIsTheFirstThatIsLater) {
  for (const Rhythm rhythm :
       {Rhythm{Interval::kDay, 1}, Rhythm{Interval::kWeek, 2}, Rhythm{Interval::kMonth, 1},
        Rhythm{Interval::kMonth, 3}, Rhythm{Interval::kYear, 1}}) {
    for (std::int64_t n = -30; n <= 30; ++n) {
      const std::int64_t at = edge(kAnchor, rhythm, n);
      const std::int64_t next = edge(kAnchor, rhythm, n + 1);
      EXPECT_EQ(edge_after(kAnchor, rhythm, at - 1), at) << n;
      EXPECT_EQ(edge_after(kAnchor, rhythm, at), next) << n;
      EXPECT_EQ(edge_after(kAnchor, rhythm, next - 1), next) << n;
    }
  }
}

TEST(CalendarTest, IntervalsAreKnownByName) {
  EXPECT_EQ(interval_of("week"), Interval::kWeek);
  EXPECT_FALSE(interval_of("fortnight"));
}

}  // namespace
}  // namespace tally::sandbox
