// Readings merge alike in every order and grouping.
#include "core/extreme_reading.h"
#include "core/gauge_reading.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

namespace tally::core {
namespace {

template <class Reading>
Reading reading(std::int64_t value, std::int64_t second, std::uint64_t identity) {
  Reading made;
  made.reading = Decimal::from_int(value);
  made.read_at = Timestamp::from_seconds(second);
  made.tiebreak = {identity, 0};
  made.events = 1;
  return made;
}

template <class Reading>
std::tuple<Decimal, Timestamp, DedupEntry, std::int64_t> all_of(const Reading& reading) {
  return {reading.reading, reading.read_at, reading.tiebreak, reading.events};
}

// Few different values and times, so that ties are common.
template <class Reading>
void expect_order_free(std::mt19937_64& random) {
  std::vector<Reading> readings;
  for (std::uint64_t i = 0; i < 30; ++i) {
    readings.push_back(reading<Reading>(static_cast<std::int64_t>(random() % 5) - 2,
                                        static_cast<std::int64_t>(random() % 4), i + 1));
  }
  Reading straight;
  for (const Reading& one : readings) straight.merge(one);
  for (int round = 0; round < 50; ++round) {
    std::shuffle(readings.begin(), readings.end(), random);
    Reading left;
    Reading right;
    const std::size_t cut = random() % readings.size();
    for (std::size_t i = 0; i < readings.size(); ++i) {
      (i < cut ? left : right).merge(readings[i]);
    }
    left.merge(right);
    EXPECT_EQ(all_of(left), all_of(straight));
  }
}

TEST(Readings, MergeAlikeInEveryOrder) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20; ++round) {
    expect_order_free<GaugeReading>(random);
    expect_order_free<MaxReading>(random);
    expect_order_free<MinReading>(random);
  }
}

TEST(Readings, EachKeepsItsOwn) {
  GaugeReading last;
  MaxReading largest;
  MinReading smallest;
  const std::vector<std::pair<std::int64_t, std::int64_t>> shown = {{-3, 10}, {-1, 30}, {-2, 40}};
  std::uint64_t identity = 1;
  for (const auto& [value, second] : shown) {
    last.merge(reading<GaugeReading>(value, second, identity));
    largest.merge(reading<MaxReading>(value, second, identity));
    smallest.merge(reading<MinReading>(value, second, identity++));
  }
  EXPECT_EQ(last.reading.to_string(), "-2");
  EXPECT_EQ(largest.reading.to_string(), "-1");
  EXPECT_EQ(largest.read_at.seconds(), 30);
  EXPECT_EQ(smallest.reading.to_string(), "-3");
  EXPECT_EQ(smallest.events, 3);
}

}  // namespace
}  // namespace tally::core
