#include "exporter/quantise.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tally::exporter {
namespace {

using core::Decimal;
using core::Rounding;

Decimal number(const std::string& text) { return Decimal::parse(text).value(); }

std::string scaled(const char* total, const char* multiplier, int decimals, Rounding rounding) {
  const auto result = to_stripe_units(number(total), number(multiplier), decimals, rounding);
  return result.has_value() ? result->to_string() : "none";
}

TEST(ToStripeUnits, RoundsTheExactProductOnce) {
  struct Row {
    const char* total;
    const char* multiplier;
    int decimals;
    Rounding rounding;
    const char* result;
  };
  const std::vector<Row> rows{
      {"1500", "0.001", 0, Rounding::kDown, "1"},
      {"1500", "0.001", 0, Rounding::kHalfUp, "2"},
      {"1500", "0.001", 0, Rounding::kHalfEven, "2"},
      {"2500", "0.001", 0, Rounding::kHalfEven, "2"},
      {"2500.000000000001", "0.001", 0, Rounding::kHalfEven, "3"},
      {"0.000000000001", "0.000000000001", 12, Rounding::kDown, "0"},
      {"0.000000000001", "0.000000000001", 12, Rounding::kUp, "0.000000000001"},
      {"-1.5", "1", 0, Rounding::kDown, "-1"},
      {"-1.5", "1", 0, Rounding::kHalfUp, "-2"},
      {"1.5", "-1", 0, Rounding::kDown, "-1"},
      {"12345678901234567890.123456789012", "1", 12, Rounding::kDown,
       "12345678901234567890.123456789012"},
      {"99999999999999999999999999.999999999999", "1", 0, Rounding::kUp, "none"},
      {"99999999999999999999999999", "10", 0, Rounding::kDown, "none"},
      {"99999999999999999999999999", "0.1", 0, Rounding::kDown, "9999999999999999999999999"},
      {"1000000000000000000", "0.000000000001", 0, Rounding::kDown, "1000000"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(scaled(row.total, row.multiplier, row.decimals, row.rounding), row.result)
        << row.total << " x " << row.multiplier;
  }
}

TEST(ToTallyUnits, IsTheNearestQuotient) {
  const auto divided = [](const char* value, const char* multiplier) {
    const auto result = to_tally_units(number(value), number(multiplier));
    return result.has_value() ? result->to_string() : std::string("none");
  };
  EXPECT_EQ(divided("7", "0.001"), "7000");
  EXPECT_EQ(divided("-7", "0.5"), "-14");
  EXPECT_EQ(divided("1", "3"), "0.333333333333");
  EXPECT_EQ(divided("2", "3"), "0.666666666667");
  EXPECT_EQ(divided("999999999999999", "1"), "999999999999999");
  EXPECT_EQ(divided("1", "0"), "none");
  EXPECT_EQ(divided("999999999999999", "0.000000000001"), "none");
  EXPECT_EQ(divided("1", "99999999999999999999999999"), "none");
}

TEST(FirstChunk, PartsAddUpAndEachHasAtMost15Digits) {
  struct Row {
    const char* value;
    std::vector<std::string> parts;
  };
  const std::vector<Row> rows{
      {"0.000000000001", {"0.000000000001"}},
      {"999999999999999", {"999999999999999"}},
      {"1000000000000000", {"999999999999999", "1"}},
      {"1234.567890123456", {"1234.56789012345", "0.000000000006"}},
      {"-1234.567890123456", {"-1234.56789012345", "-0.000000000006"}},
      {"1234567890123456.789", {"999999999999999", "234567890123457", "0.789"}},
  };
  for (const Row& row : rows) {
    Decimal rest = number(row.value);
    std::vector<std::string> parts;
    while (!rest.is_zero()) {
      const auto part = first_chunk(rest);
      ASSERT_TRUE(part.has_value());
      parts.push_back(part->to_string());
      rest = rest.checked_subtract(*part).value();
    }
    EXPECT_EQ(parts, row.parts) << row.value;
  }
  EXPECT_FALSE(first_chunk(number("1000000000000000000")).has_value());
}

TEST(PrintedDigits, CountsWhatIsPrintedWithoutLeadingZeros) {
  EXPECT_EQ(printed_digits(number("0")), 1);
  EXPECT_EQ(printed_digits(number("0.05")), 1);
  EXPECT_EQ(printed_digits(number("1000")), 4);
  EXPECT_EQ(printed_digits(number("-12.50")), 3);
}

}  // namespace
}  // namespace tally::exporter
