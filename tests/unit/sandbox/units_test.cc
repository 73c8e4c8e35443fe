#include "tests/support/sandbox/units.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace tally::sandbox {
namespace {

TEST(UnitsTest, TextsComeBackExactly) {
  for (const char* text : {"0", "1", "-1", "25.5", "0.000000000001", "-0.5", "999999999999999",
                           "123456789.012345", "-999999999999999"}) {
    const ParsedValue parsed = parse_value(text);
    EXPECT_EQ(parsed.error, ValueError::kNone) << text;
    EXPECT_EQ(text_of(parsed.units), text);
  }
  EXPECT_EQ(text_of(parse_value("007.50").units), "7.5");
  EXPECT_EQ(text_of(parse_value("-0").units), "0");
}

TEST(UnitsTest, GrammarIsPlain) {
  for (const char* text : {"", "-", "+1", "1e3", "1.", ".5", "1,000", " 1", "1 ", "NaN", "0x1",
                           "--1", "1.2.3", "1.-2"}) {
    EXPECT_EQ(parse_value(text).error, ValueError::kGrammar) << text;
  }
}

TEST(UnitsTest, FifteenDigitsAndTwelveDecimals) {
  EXPECT_EQ(parse_value("1234567890123456").error, ValueError::kTooManyDigits);
  EXPECT_EQ(parse_value("0000000000000000001").error, ValueError::kNone);
  EXPECT_EQ(parse_value("12345678.90123456").error, ValueError::kTooManyDigits);
  EXPECT_EQ(parse_value("0.0000000000001").error, ValueError::kTooManyDecimals);
}

TEST(UnitsTest, SumsAreExactWhereDoublesAreNot) {
  Units sum = 0;
  for (int i = 0; i < 10; ++i) sum = add(sum, parse_value("0.1").units);
  EXPECT_EQ(text_of(sum), "1");
  sum = add(parse_value("999999999999999").units, parse_value("0.000000000001").units);
  EXPECT_EQ(text_of(sum), "999999999999999.000000000001");
  EXPECT_EQ(double_of(sum), 999999999999999.0);
}

TEST(UnitsTest, WhatWasWrittenIsReadBackWhateverItsLength) {
  for (const char* text :
       {"0", "-3", "12.5", "123456789012345678901.000000000001", "-0.000000000001"}) {
    EXPECT_EQ(text_of(read_units(text)), text);
  }
}

TEST(UnitsTest, AProductIsRoundedOnceHalvesAwayFromZero) {
  const auto product = [](const char* a, const char* b) {
    return cents_of(read_units(a), read_units(b));
  };
  EXPECT_EQ(product("7.5", "2.5"), 19) << "18.75";
  EXPECT_EQ(product("3", "0.5"), 2);
  EXPECT_EQ(product("-3", "0.5"), -2);
  EXPECT_EQ(product("0.999999999999", "0.5"), 0);
  EXPECT_EQ(product("0.000000000001", "1000000000000"), 1);
}

TEST(UnitsTest, AProductBeyondAnyBillIsTheMostOfOne) {
  const std::string huge = "99999999999999999999999999.999999999999";
  const auto product = [](const std::string& a, const std::string& b) {
    return cents_of(read_units(a), read_units(b));
  };
  EXPECT_EQ(product("999999999999.4", "1"), kMostCents);
  EXPECT_EQ(product("999999999999.5", "1"), kMostCents);
  EXPECT_EQ(product(huge, "99999999"), kMostCents);
  EXPECT_EQ(product("-" + huge, "0.000000000001"), -kMostCents);
  EXPECT_EQ(product(huge, huge), kMostCents);
  EXPECT_EQ(product(huge, "0"), 0);
  EXPECT_EQ(truncated(read_units(huge)), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(truncated(read_units("-7.9")), -7);
}

TEST(UnitsTest, ADoubleIsRoundedToTwelveDecimals) {
  EXPECT_EQ(text_of(units_of_double(10000.000000018848)), "10000.000000018848");
  EXPECT_EQ(text_of(units_of_double(0.1 + 0.2)), "0.3") << "its error is in the 17th decimal";
  EXPECT_EQ(text_of(units_of_double(-0.0)), "0");
  EXPECT_EQ(text_of(units_of_double(999'999'999'999'999.0)), "999999999999999");
}

}  // namespace
}  // namespace tally::sandbox
