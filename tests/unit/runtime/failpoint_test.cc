#include "runtime/lifecycle/failpoint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace tally::runtime::lifecycle {
namespace {

class FailpointTest : public testing::Test {
 protected:
  void TearDown() override { arm_failpoints(""); }
};

TEST_F(FailpointTest, SilentUnlessArmed) {
  EXPECT_NO_THROW(failpoint("aggregator.before_commit"));
  arm_failpoints("other.place=error");
  EXPECT_NO_THROW(failpoint("aggregator.before_commit"));
}

TEST_F(FailpointTest, ErrorStrikesAtEachHitOrAtOne) {
  arm_failpoints("a.b=error,c.d=error@2");
  EXPECT_THROW(failpoint("a.b"), std::runtime_error);
  EXPECT_THROW(failpoint("a.b"), std::runtime_error);
  EXPECT_NO_THROW(failpoint("c.d"));
  EXPECT_THROW(failpoint("c.d"), std::runtime_error);
  EXPECT_NO_THROW(failpoint("c.d"));
}

TEST_F(FailpointTest, SleepDelaysTheCaller) {
  arm_failpoints("a.b=sleep:30");
  const auto begin = std::chrono::steady_clock::now();
  failpoint("a.b");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(30));
}

TEST_F(FailpointTest, KillTakesTheProcessAtTheGivenHit) {
  const auto hit_twice = [] {
    arm_failpoints("a.b=kill@2");
    failpoint("a.b");
    std::fputs("after the first\n", stderr);
    failpoint("a.b");
  };
  EXPECT_EXIT(hit_twice(), testing::KilledBySignal(SIGKILL), "after the first");
}

TEST_F(FailpointTest, NonsenseIsRefusedAndChangesNothing) {
  arm_failpoints("a.b=error");
  for (const char* bad : {"a.b", "=kill", "a.b=explode", "a.b=sleep:x", "a.b=sleep:0",
                          "a.b=sleep:600001", "a.b=kill@0", "x=kill,,y=kill", "a.b=kill@1x"}) {
    EXPECT_THROW(arm_failpoints(bad), std::invalid_argument) << bad;
  }
  EXPECT_THROW(failpoint("a.b"), std::runtime_error);
}

TEST_F(FailpointTest, EnvironmentIsReadAndAnnounced) {
  const auto armed = [] {
    ::setenv("TALLY_FAILPOINTS", "a.b=error", 1);
    arm_failpoints_from_environment();
    try {
      failpoint("a.b");
    } catch (const std::runtime_error&) {
      std::_Exit(7);
    }
  };
  EXPECT_EXIT(armed(), testing::ExitedWithCode(7), "failpoint armed");
  const auto wrong = [] {
    ::setenv("TALLY_FAILPOINTS", "a.b=explode", 1);
    arm_failpoints_from_environment();
  };
  EXPECT_EXIT(wrong(), testing::ExitedWithCode(2), "explode");
}

}  // namespace
}  // namespace tally::runtime::lifecycle
