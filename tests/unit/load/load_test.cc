#include "producer/load/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace tally::producer::load {
namespace {

using testing::HasSubstr;

// Without room for its descriptors a connection could not be opened, and the load ended with it.
TEST(LoadTest, MoreConnectionsThanOpenFilesAreRefusedBeforeAnythingIsSent) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{100, 100};
  const runtime::lifecycle::StopSignal stop;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  LoadOptions options;
  options.http = HttpTarget{.url = "unix:/nobody/listens", .key = ""};
  options.connections = 1'000;
  const auto account = run_load(options, stop);
  (void)::setrlimit(RLIMIT_NOFILE, &before);  // only root may raise the hard one again
  ASSERT_FALSE(account);
  EXPECT_EQ(account.error().kind, core::ErrorKind::kInvalid);
  EXPECT_THAT(account.error().message, HasSubstr("may have 100"));
}

}  // namespace
}  // namespace tally::producer::load
