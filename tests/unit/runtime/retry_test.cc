#include "runtime/retry/backoff.h"

#include <gtest/gtest.h>

#include <set>

namespace tally::runtime::retry {
namespace {

using std::chrono::milliseconds;

TEST(BackoffTest, DoublesUpToItsLimitWithinHalfToWhole) {
  Backoff backoff(milliseconds(100), milliseconds(1500), 7);
  for (const int whole : {100, 200, 400, 800, 1500, 1500, 1500}) {
    const auto wait = backoff.next();
    EXPECT_GE(wait, milliseconds(whole / 2));
    EXPECT_LT(wait, milliseconds(whole));
  }
}

TEST(BackoffTest, ResetBeginsAgain) {
  Backoff backoff(milliseconds(100), milliseconds(10'000), 7);
  for (int i = 0; i < 6; ++i) (void)backoff.next();
  backoff.reset();
  EXPECT_LT(backoff.next(), milliseconds(100));
}

TEST(BackoffTest, SeedDecidesTheWaits) {
  Backoff one(milliseconds(1000), milliseconds(1000), 1);
  Backoff same(milliseconds(1000), milliseconds(1000), 1);
  Backoff other(milliseconds(1000), milliseconds(1000), 2);
  std::set<std::int64_t> waits;
  bool differs = false;
  for (int i = 0; i < 20; ++i) {
    const auto wait = one.next();
    EXPECT_EQ(wait, same.next());
    differs = differs || wait != other.next();
    waits.insert(wait.count());
  }
  EXPECT_TRUE(differs);
  EXPECT_GT(waits.size(), 10U);
}

TEST(BackoffTest, NeverZeroAndNeverOverflows) {
  Backoff small(milliseconds(1), milliseconds(1), 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(small.next(), milliseconds(1));
  Backoff large(milliseconds(1), milliseconds(std::int64_t{1} << 50), 3);
  for (int i = 0; i < 200; ++i) EXPECT_GT(large.next().count(), 0);
}

TEST(BackoffTest, NonsenseIsABug) {
  EXPECT_DEATH(Backoff(milliseconds(0), milliseconds(1), 1), "CHECK failed");
  EXPECT_DEATH(Backoff(milliseconds(2), milliseconds(1), 1), "CHECK failed");
}

}  // namespace
}  // namespace tally::runtime::retry
