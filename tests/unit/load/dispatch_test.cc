#include "producer/load/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tally::producer::load {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::Pair;

// All events of these tests were due long ago, or will be in a year.
const TimePoint kLongAgo = Clock::now() - hours(1);
const TimePoint kInAYear = Clock::now() + hours(24 * 365);

Batch sent(Dispatch& dispatch, std::size_t max) {
  auto batch = dispatch.take(max);
  EXPECT_TRUE(batch);
  ++batch->sendings;
  dispatch.sent(*batch);
  return *batch;
}

TEST(LoadDispatchTest, LatencyRunsFromTheMomentEachWasDue) {
  Dispatch dispatch(Timetable(10, kLongAgo), 2, 0);
  const Batch batch = sent(dispatch, 2);
  dispatch.acked(batch.numbers, kLongAgo + milliseconds(101));
  EXPECT_FALSE(dispatch.take(1));
  const LoadAccount account = dispatch.finish();
  EXPECT_EQ(account.latency.at(500), milliseconds(1));  // the second, due after 100 ms
  EXPECT_EQ(account.latency.max(), milliseconds(101));  // the first
  EXPECT_EQ(account.acked, 2U);
  EXPECT_EQ(account.most_behind, 2U);
  EXPECT_GE(account.most_late, hours(1) - seconds(1));
  EXPECT_FALSE(account.kept_the_rate());
}

// The timetable began before the connections were opened, so a slow opening made the load late.
TEST(LoadDispatchTest, NothingIsDueBeforeTheStart) {
  Dispatch dispatch(Timetable(1'000), 3, 0);
  EXPECT_EQ(dispatch.moment().due, 0U);
  dispatch.start(kLongAgo);
  EXPECT_EQ(dispatch.moment().due, 3U);
  dispatch.acked(sent(dispatch, 3).numbers, kLongAgo + milliseconds(2));
  EXPECT_EQ(dispatch.finish().latency.max(), milliseconds(2));
}

TEST(LoadDispatchTest, EveryEndHasItsPlace) {
  Dispatch dispatch(Timetable(1'000, kLongAgo), 10, 0);
  dispatch.acked(sent(dispatch, 1).numbers, Clock::now());
  dispatch.failed(sent(dispatch, 2), End::kRefused, "429", Again::kMay, {});
  dispatch.failed(sent(dispatch, 1), End::kLost, "late", Again::kMay, {});
  dispatch.failed(sent(dispatch, 1), End::kUnanswered, "", Again::kMay, {});
  dispatch.failed(*dispatch.take(1), End::kNotSent, "no connection", Again::kMay, {});
  (void)sent(dispatch, 3);  // and never a word of them
  dispatch.told_to_wait(kLongAgo);
  dispatch.complain("the last word");
  dispatch.close("enough");
  const LoadAccount account = dispatch.finish();
  EXPECT_EQ(account.due, 10U);
  EXPECT_EQ(account.sent, 8U);
  EXPECT_EQ(account.acked, 1U);
  EXPECT_THAT(account.refused_by_reason, ElementsAre(Pair("429", 2)));
  EXPECT_THAT(account.lost_by_reason, ElementsAre(Pair("late", 1)));
  EXPECT_EQ(account.unanswered, 4U);
  EXPECT_THAT(account.not_sent_by_reason,
              ElementsAre(Pair("no connection", 1), Pair("stopped", 1)));
  EXPECT_EQ(account.told_to_wait, 1U);
  EXPECT_EQ(account.problem, "enough");
  EXPECT_EQ(account.complaint, "the last word");
  EXPECT_FALSE(account.whole());
}

TEST(LoadDispatchTest, WhatIsSentAgainHasItsLastEnd) {
  Dispatch dispatch(Timetable(1'000, kLongAgo), 3, 1);
  for (int event = 0; event < 3; ++event) {
    dispatch.failed(sent(dispatch, 1), End::kRefused, "503", Again::kMay, kLongAgo);
    auto again = dispatch.take(9);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->numbers[0], static_cast<std::uint64_t>(event));
    if (event == 0) {  // it could not leave this time: what it came to before stays
      dispatch.failed(*again, End::kNotSent, "no connection", Again::kMay, kLongAgo);
      continue;
    }
    ++again->sendings;
    dispatch.sent(*again);
    if (event == 1) {
      dispatch.failed(*again, End::kUnanswered, "", Again::kMay, kLongAgo);
    } else {
      dispatch.acked(again->numbers, Clock::now());
    }
  }
  const LoadAccount account = dispatch.finish();
  EXPECT_EQ(account.sent, 3U);
  EXPECT_EQ(account.sent_again, 2U);
  EXPECT_EQ(account.acked, 1U);
  EXPECT_EQ(account.refused, 1U);
  EXPECT_EQ(account.unanswered, 1U);
}

TEST(LoadDispatchTest, AStopWakesWhoWaitsAndCountsWhatWasDue) {
  Dispatch dispatch(Timetable(1, kInAYear), 100, 9);
  std::atomic<int> ended = 0;
  std::vector<std::thread> senders;
  for (int sender = 0; sender < 4; ++sender) {
    senders.emplace_back([&] {
      if (!dispatch.take(1)) ++ended;
    });
  }
  dispatch.stop();
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(ended, 4);
  EXPECT_TRUE(dispatch.closed());
  const LoadAccount account = dispatch.finish();
  EXPECT_EQ(account.due, 0U);
  EXPECT_EQ(account.problem, "stopped before all was due");
}

TEST(LoadDispatchTest, AStopGivesUpWhatWasToBeSentAgain) {
  Dispatch dispatch(Timetable(1'000, kLongAgo), 1, 9);
  dispatch.failed(sent(dispatch, 1), End::kLost, "late", Again::kMay, kInAYear);
  EXPECT_TRUE(dispatch.has_more());
  EXPECT_EQ(dispatch.moment().in_flight, 1U);
  dispatch.stop();
  EXPECT_FALSE(dispatch.has_more());
  const LoadAccount account = dispatch.finish();
  EXPECT_EQ(account.lost, 1U);
  EXPECT_EQ(account.problem, "") << "all was due";
}

// Only a batch that was taken said how late it was: a stall that a stop ended was none.
TEST(LoadDispatchTest, AStallThatAStopEndsIsToldToo) {
  Dispatch stalled(Timetable(10, kLongAgo), 100, 0);
  stalled.stop();
  stalled.close("a second time");  // tells nothing new
  const LoadAccount nothing_sent = stalled.finish();
  EXPECT_EQ(nothing_sent.most_behind, 100U);
  EXPECT_GE(nothing_sent.most_late, hours(1) - seconds(1));
  EXPECT_FALSE(nothing_sent.kept_the_rate());
}

TEST(LoadDispatchTest, WordsAfterTheEndChangeNothing) {
  Dispatch dispatch(Timetable(1'000, kLongAgo), 2, 9);
  const Batch batch = sent(dispatch, 2);
  EXPECT_EQ(dispatch.finish().unanswered, 2U);
  dispatch.acked(batch.numbers, Clock::now());
  dispatch.failed(batch, End::kLost, "late", Again::kMay, kLongAgo);
  EXPECT_EQ(dispatch.moment().acked, 0U);
  EXPECT_FALSE(dispatch.has_more());
}

TEST(LoadDispatchTest, AMomentTellsOfTheTimeSinceTheLast) {
  Dispatch dispatch(Timetable(1'000, kLongAgo), 10, 0);
  dispatch.acked(sent(dispatch, 2).numbers, kLongAgo + milliseconds(5));
  dispatch.failed(sent(dispatch, 1), End::kLost, "late", Again::kMay, {});
  (void)sent(dispatch, 3);
  const Moment first = dispatch.moment();
  EXPECT_EQ(first.due, 10U);
  EXPECT_EQ(first.acked, 2U);
  EXPECT_EQ(first.in_flight, 3U);
  EXPECT_EQ(first.behind, 4U);
  EXPECT_EQ(first.errors, 1U);
  EXPECT_EQ(first.p99, microseconds(5'000));
  const Moment second = dispatch.moment();
  EXPECT_EQ(second.p99, microseconds(0));
  EXPECT_EQ(second.acked, 2U);
}

}  // namespace
}  // namespace tally::producer::load
