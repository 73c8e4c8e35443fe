#include "producer/request_id.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tally::producer {
namespace {

TEST(RequestId, HoldsTheTimeVersionAndVariant) {
  const std::chrono::system_clock::time_point when{std::chrono::milliseconds(0x0123456789ab)};
  const std::string id = new_request_id(when);
  ASSERT_EQ(id.size(), 36U);
  EXPECT_EQ(id.substr(0, 14), "01234567-89ab-");
  EXPECT_EQ(id[14], '7');
  EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
}

TEST(RequestId, DiffersEachTimeWithinOneMillisecond) {
  const std::chrono::system_clock::time_point when{};
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(new_request_id(when));
  EXPECT_EQ(seen.size(), 10'000U);
}

}  // namespace
}  // namespace tally::producer
