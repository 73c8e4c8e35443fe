// A deadline never overflows into the past.
#include "runtime/retry/deadline.h"

#include <gtest/gtest.h>

namespace tally::runtime::retry {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

TEST(Deadline, IsNowAndTheWait) {
  const Clock::time_point now = Clock::now();
  EXPECT_EQ(deadline(now, milliseconds(5)), now + milliseconds(5));
  EXPECT_EQ(deadline(now, milliseconds(0)), now);
  EXPECT_EQ(deadline(now, milliseconds(-5)), now);
  EXPECT_EQ(deadline(now, milliseconds::min()), now);
}

TEST(Deadline, BeyondTheClocksEndIsItsEnd) {
  const Clock::time_point now = Clock::now();
  EXPECT_EQ(deadline(now, milliseconds::max()), Clock::time_point::max());
  EXPECT_GT(deadline(now, std::chrono::hours(24 * 365 * 200)), now);
  EXPECT_EQ(deadline(Clock::time_point::max(), milliseconds(1)), Clock::time_point::max());
}

}  // namespace
}  // namespace tally::runtime::retry
