#include "producer/load/latency.h"

#include <gtest/gtest.h>

namespace tally::producer::load {
namespace {

using std::chrono::microseconds;

TEST(LoadLatencyTest, NothingRecordedIsNothing) {
  const LatencyHistogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.at(500).count(), 0);
  EXPECT_EQ(empty.max().count(), 0);
}

TEST(LoadLatencyTest, ShortOnesAreExact) {
  LatencyHistogram histogram;
  for (int value = 1; value <= 1'000; ++value) histogram.record(microseconds(value));
  EXPECT_EQ(histogram.at(1).count(), 1);
  EXPECT_EQ(histogram.at(500).count(), 500);
  EXPECT_EQ(histogram.at(990).count(), 990);
  EXPECT_EQ(histogram.at(999).count(), 999);
  EXPECT_EQ(histogram.at(1'000).count(), 1'000);
}

TEST(LoadLatencyTest, OfFewTheRankIsRoundedUp) {
  LatencyHistogram histogram;
  histogram.record(microseconds(10));
  histogram.record(microseconds(20));
  histogram.record(microseconds(30));
  EXPECT_EQ(histogram.at(333).count(), 10);
  EXPECT_EQ(histogram.at(334).count(), 20);
  EXPECT_EQ(histogram.at(667).count(), 30);
}

// Every power of two and its neighbours, where a bucket begins or ends.
TEST(LoadLatencyTest, WhatIsReadIsAtMostAThousandthAbove) {
  for (std::int64_t power = 1; power < LatencyHistogram::kLongest.count(); power *= 2) {
    for (const std::int64_t value : {power - 1, power, power + 1, power + power / 3}) {
      LatencyHistogram histogram;
      histogram.record(microseconds(value));
      histogram.record(LatencyHistogram::kLongest);
      EXPECT_GE(histogram.at(500).count(), value);
      EXPECT_LE(histogram.at(500).count(), value + value / 1'000);
    }
  }
}

TEST(LoadLatencyTest, TheLongestIsExactAndEndsAtTheBound) {
  LatencyHistogram histogram;
  histogram.record(microseconds(1'234'567));
  EXPECT_EQ(histogram.max().count(), 1'234'567);
  EXPECT_EQ(histogram.at(1'000).count(), 1'234'567);
  histogram.record(LatencyHistogram::kLongest + microseconds(1));
  EXPECT_EQ(histogram.max(), LatencyHistogram::kLongest);
  histogram.record(microseconds(-1));
  EXPECT_EQ(histogram.at(1).count(), 0);
  EXPECT_EQ(histogram.count(), 3U);
  histogram.clear();
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.at(999).count(), 0);
}

}  // namespace
}  // namespace tally::producer::load
