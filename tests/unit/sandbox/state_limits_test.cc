// A state file that takes no more: nothing that it holds is lost, nothing that it does not hold is
// answered.
#include "tests/unit/sandbox/state_file_fixture.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>

namespace tally::sandbox {
namespace {

class StateLimitsTest : public StateFileTest {
 protected:
  void SetUp() override {
    StateFileTest::SetUp();
    was_ = std::signal(SIGXFSZ, SIG_IGN);
    meter();
  }
  void TearDown() override {
    limit_file_size(RLIM_INFINITY);
    std::signal(SIGXFSZ, was_);
    StateFileTest::TearDown();
  }
  // No file of this process grows beyond `bytes`.
  static void limit_file_size(rlim_t bytes) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = std::min(bytes, limit.rlim_max);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  void (*was_)(int) = nullptr;
};

// A start that rewrites the file loses the books when it is killed between the two.
TEST_F(StateLimitsTest, AStartWritesNothingOverWhatStands) {
  ASSERT_EQ(event("a", "1").status, 200);
  sandbox_.reset();
  const std::string before = text();
  limit_file_size(before.size() / 2);
  EXPECT_NO_THROW(restart());
  limit_file_size(RLIM_INFINITY);
  EXPECT_EQ(text(), before);
}

// A 200 of a retry stands for what no file holds, and the client would be blamed for the loss.
TEST_F(StateLimitsTest, WhatCannotBeWrittenIsNeverAnswered) {
  limit_file_size(text().size() + 10);
  EXPECT_THROW(event("a", "1", "", "k"), std::runtime_error);
  EXPECT_THROW(event("a", "1", "", "k"), std::runtime_error);
  EXPECT_THROW(totals(), std::runtime_error);
  limit_file_size(RLIM_INFINITY);
  EXPECT_THROW(event("b", "1", "", "k2"), std::runtime_error) << "the file ends in a torn line";
  restart();
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
}

}  // namespace
}  // namespace tally::sandbox
