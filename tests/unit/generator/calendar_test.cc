#include "tests/support/generator/calendar.h"

#include <gtest/gtest.h>

namespace tally::generator {
namespace {

TEST(Calendar, ReadsAndWritesUtc) {
  const auto leap = parse_utc("2024-02-29T23:59:59Z");
  ASSERT_TRUE(leap);
  EXPECT_EQ(*leap, 1'709'251'199'000'000);
  std::string out;
  append_utc(*leap + 1'000'001, out);
  EXPECT_EQ(out, "2024-03-01T00:00:00.000001Z");
}

TEST(Calendar, RefusesWhatIsNoMoment) {
  for (const char* text :
       {"2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00+",
        "2024-13-01T00:00:00Z", "1969-12-31T00:00:00Z"}) {
    EXPECT_FALSE(parse_utc(text)) << text;
  }
}

TEST(Calendar, WritesThousandthsPlain) {
  EXPECT_EQ(thousandths_text(0), "0");
  EXPECT_EQ(thousandths_text(12'500), "12.5");
  EXPECT_EQ(thousandths_text(1), "0.001");
  EXPECT_EQ(thousandths_text(static_cast<Wide>(1'000'000'000'000'000'000) * 1'000'000 + 10),
            "1000000000000000000000.01");
}

}  // namespace
}  // namespace tally::generator
