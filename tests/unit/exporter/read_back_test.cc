// Each case: what a minute shows of a row in doubt, reading by reading, and where the row ends.
#include "exporter/read_back.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tally::exporter {
namespace {

using core::Decimal;
using core::Timestamp;

constexpr std::int64_t kSent = 1'800'000'000;

UncertainRow row_of(const std::string& value, Formula formula = Formula::kSum) {
  UncertainRow row;
  row.id = 1;
  row.formula = formula;
  row.value = Decimal::parse(value).value();
  row.last_sent_at = Timestamp::from_seconds(kSent);
  return row;
}

MinuteReading shows(const std::string& value) { return {true, value, {}, true}; }
MinuteReading shows_nothing() { return {true, std::nullopt, {}, true}; }

// Reads at the earliest moments; "delivered", "rejected", "held", or "uncertain" when the readings
// are used up.
std::string_view read_all(UncertainRow row, const std::vector<MinuteReading>& readings) {
  std::int64_t now = kSent + kFirstReadingSeconds;
  for (const MinuteReading& reading : readings) {
    EXPECT_FALSE(is_due(row, Timestamp::from_seconds(now - 1))) << "too early";
    EXPECT_TRUE(is_due(row, Timestamp::from_seconds(now)));
    const Settlement settlement = settle_by(row, reading, Timestamp::from_seconds(now));
    if (settlement.state != RowState::kUncertain) return to_string(settlement.state);
    row.read_at = settlement.at;
    row.read_value = settlement.read_value;
    now += kBetweenReadingsSeconds;
  }
  return to_string(RowState::kUncertain);
}

TEST(ReadBack, WhatItsMinuteShowsWasDelivered) {
  EXPECT_EQ(read_all(row_of("5"), {shows("5")}), "delivered");
  EXPECT_EQ(read_all(row_of("5"), {shows("5.0")}), "delivered");
  EXPECT_EQ(read_all(row_of("123456789012.345"), {shows("1.23456789012345e11")}), "delivered");
  EXPECT_EQ(read_all(row_of("-3"), {shows_nothing(), shows("-3")}), "delivered");
}

TEST(ReadBack, AnEmptyMinuteIsBelievedOnlyTwice) {
  EXPECT_EQ(read_all(row_of("5"), {shows_nothing()}), "uncertain");
  EXPECT_EQ(read_all(row_of("5"), {shows_nothing(), shows_nothing()}), "rejected");
  EXPECT_EQ(read_all(row_of("5"), {shows("0"), shows_nothing()}), "rejected");
}

TEST(ReadBack, AnythingElseTwiceIsHeld) {
  EXPECT_EQ(read_all(row_of("5"), {shows("7")}), "uncertain");
  EXPECT_EQ(read_all(row_of("5"), {shows("7"), shows("7")}), "held");
  EXPECT_EQ(read_all(row_of("5"), {shows("7"), shows("9"), shows_nothing()}), "uncertain");
  EXPECT_EQ(read_all(row_of("5"), {shows("Infinity"), shows("Infinity")}), "held");
}

// With another account's key it would have been planned anew, and billed twice.
TEST(ReadBack, WhereThereIsNoMeterNothingIsProved) {
  const MinuteReading no_meter{true, std::nullopt, {}, false};
  EXPECT_EQ(read_all(row_of("5"), {no_meter, no_meter}), "held");
  EXPECT_EQ(read_all(row_of("5"), {no_meter, shows_nothing()}), "uncertain");
  EXPECT_EQ(read_all(row_of("5"), {shows_nothing(), no_meter}), "uncertain");
  EXPECT_EQ(read_all(row_of("5"), {no_meter, shows("5")}), "delivered");
}

TEST(ReadBack, AGaugesZeroIsStatedOnceMore) {
  EXPECT_EQ(read_all(row_of("0", Formula::kLast), {shows("0"), shows("0")}), "rejected");
  EXPECT_EQ(read_all(row_of("4", Formula::kLast), {shows("0"), shows_nothing()}), "rejected");
}

}  // namespace
}  // namespace tally::exporter
