// Waits for what still moves, not for what stands still.
#include "runtime/retry/patience.h"

#include <gtest/gtest.h>

namespace tally::runtime::retry {
namespace {

using std::chrono::seconds;

constexpr Patience::Clock::time_point at(int second) {
  return Patience::Clock::time_point(seconds(second));
}

TEST(Patience, LastsWhileItBecomesLess) {
  Patience patience(seconds(10), 100, at(0));
  for (int i = 1; i < 100; ++i) {
    EXPECT_TRUE(patience.goes_on(100 - static_cast<std::size_t>(i), at(9 * i))) << i;
  }
  EXPECT_FALSE(patience.goes_on(0, at(900)));
}

TEST(Patience, EndsWhenItDoesNot) {
  Patience patience(seconds(10), 100, at(0));
  EXPECT_TRUE(patience.goes_on(100, at(9)));
  EXPECT_TRUE(patience.goes_on(99, at(10)));
  EXPECT_TRUE(patience.goes_on(99, at(19)));
  // More than there was is no progress either.
  EXPECT_FALSE(patience.goes_on(150, at(20)));
}

}  // namespace
}  // namespace tally::runtime::retry
