#include "producer/load/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tally::producer::load {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;

const TimePoint kStart = TimePoint(hours(1'000));

std::vector<std::uint64_t> numbers(const std::optional<Batch>& batch) {
  return batch ? batch->numbers : std::vector<std::uint64_t>();
}

TEST(LoadTimetableTest, WhatIsDueIsDueFromItsMomentOn) {
  for (const std::uint64_t rate : {1ULL, 3ULL, 7ULL, 1'000ULL, 999'983ULL, 1'000'000ULL}) {
    const Timetable timetable(rate, kStart);
    for (const std::uint64_t number : {0ULL, 1ULL, 2ULL, 999ULL, 123'456'789ULL}) {
      const TimePoint due = timetable.due(number);
      EXPECT_EQ(timetable.due_by(due), number + 1) << rate << " " << number;
      EXPECT_EQ(timetable.due_by(due - nanoseconds(1)), number) << rate << " " << number;
    }
  }
}

TEST(LoadTimetableTest, TheRateIsKeptToTheEventForDays) {
  const Timetable timetable(333'333, kStart);
  EXPECT_EQ(timetable.due(333'333), kStart + seconds(1));
  EXPECT_EQ(timetable.due_by(kStart + hours(240) - nanoseconds(1)), 333'333ULL * 240 * 3'600);
  EXPECT_EQ(timetable.due_by(kStart - seconds(1)), 0U);
}

TEST(LoadFeedTest, GivesWhatIsDueAndNoMore) {
  Feed feed(Timetable(1'000, kStart), 10, 0);
  EXPECT_FALSE(feed.take(kStart - milliseconds(1), 100));
  EXPECT_EQ(feed.next_look(), kStart);
  EXPECT_THAT(numbers(feed.take(kStart, 100)), ElementsAre(0));
  EXPECT_FALSE(feed.take(kStart, 100));
  EXPECT_EQ(feed.next_look(), kStart + milliseconds(1));
  EXPECT_THAT(numbers(feed.take(kStart + milliseconds(3), 2)), ElementsAre(1, 2));
  EXPECT_EQ(feed.behind(kStart + milliseconds(3)), 1U);
  EXPECT_FALSE(feed.done());
  EXPECT_THAT(numbers(feed.take(kStart + hours(1), 100)), ElementsAre(3, 4, 5, 6, 7, 8, 9));
  EXPECT_TRUE(feed.done());
  EXPECT_FALSE(feed.take(kStart + hours(1), 100));
  EXPECT_EQ(feed.due(kStart + hours(1)), 10U);
}

TEST(LoadFeedTest, AStallMakesItLateNeverThin) {
  Feed feed(Timetable(1'000, kStart), 1'000'000, 0);
  ASSERT_TRUE(feed.take(kStart, 1));
  EXPECT_EQ(feed.behind(kStart + seconds(5)), 5'000U);
  EXPECT_EQ(numbers(feed.take(kStart + seconds(5), 10'000)).size(), 5'000U);
  EXPECT_EQ(feed.behind(kStart + seconds(5)), 0U);
}

TEST(LoadFeedTest, APauseHoldsEverythingBack) {
  Feed feed(Timetable(1'000, kStart), 10, 0);
  feed.pause(kStart + seconds(2));
  feed.pause(kStart + seconds(1));
  EXPECT_FALSE(feed.take(kStart + seconds(2) - nanoseconds(1), 100));
  EXPECT_EQ(feed.next_look(), kStart + seconds(2));
  EXPECT_EQ(numbers(feed.take(kStart + seconds(2), 100)).size(), 10U);
}

TEST(LoadFeedTest, WhatIsGivenBackComesAgainBeforeWhatIsNew) {
  Feed feed(Timetable(1'000, kStart), 4, 2);
  auto batch = feed.take(kStart + milliseconds(1), 100);
  ASSERT_THAT(numbers(batch), ElementsAre(0, 1));
  ASSERT_TRUE(feed.give_back(*batch, kStart + seconds(1)));
  EXPECT_THAT(numbers(feed.take(kStart + milliseconds(2), 100)), ElementsAre(2));
  EXPECT_EQ(feed.next_look(), kStart + milliseconds(3));
  EXPECT_FALSE(feed.done());
  batch = feed.take(kStart + seconds(1), 1);
  EXPECT_THAT(numbers(batch), ElementsAre(0, 1));
  EXPECT_EQ(batch->tries, 2U);
  EXPECT_THAT(numbers(feed.take(kStart + seconds(1), 100)), ElementsAre(3));
  ASSERT_TRUE(feed.give_back(*batch, kStart + seconds(3)));
  EXPECT_FALSE(feed.done());
  EXPECT_EQ(feed.next_look(), kStart + seconds(3));
  batch = feed.take(kStart + seconds(3), 100);
  EXPECT_EQ(batch->tries, 3U);
  EXPECT_FALSE(feed.give_back(*batch, kStart)) << "twice again is enough";
  EXPECT_THAT(batch->numbers, ElementsAre(0, 1));
  EXPECT_TRUE(feed.done());
}

TEST(LoadFeedTest, ClosedItGivesNothingAndKeepsWhatWasDue) {
  Feed feed(Timetable(1'000, kStart), 100, 5);
  auto batch = feed.take(kStart, 1);
  ASSERT_TRUE(feed.give_back(*batch, kStart + seconds(9)));
  auto on_its_way = feed.take(kStart + milliseconds(1), 1);
  EXPECT_FALSE(feed.all_due(kStart + milliseconds(9)));
  const auto given_up = feed.close(kStart + milliseconds(9));
  ASSERT_EQ(given_up.size(), 1U);
  EXPECT_THAT(given_up[0].numbers, ElementsAre(0));
  EXPECT_TRUE(feed.done());
  EXPECT_FALSE(feed.take(kStart + seconds(10), 10));
  EXPECT_FALSE(feed.give_back(*on_its_way, kStart));
  EXPECT_TRUE(feed.close(kStart + seconds(20)).empty());
  EXPECT_EQ(feed.due(kStart + seconds(20)), 10U);
  EXPECT_EQ(feed.taken(), 2U);
}

}  // namespace
}  // namespace tally::producer::load
