#include "core/meter.h"

#include <gtest/gtest.h>

namespace tally::core {
namespace {

TEST(Meter, NamesItsAggregationsAndWindowsAsTheCatalogueDoes) {
  EXPECT_EQ(to_string(Aggregation::kSum), "sum");
  EXPECT_EQ(to_string(Aggregation::kCount), "count");
  EXPECT_EQ(to_string(Aggregation::kMax), "max");
  EXPECT_EQ(to_string(Aggregation::kMin), "min");
  EXPECT_EQ(to_string(Aggregation::kLatest), "latest");
  EXPECT_EQ(to_string(Aggregation::kUniqueCount), "unique_count");
  EXPECT_EQ(to_string(WindowSize::kMinute), "minute");
  EXPECT_EQ(to_string(WindowSize::kHour), "hour");
  EXPECT_EQ(to_string(WindowSize::kDay), "day");
}

}  // namespace
}  // namespace tally::core
