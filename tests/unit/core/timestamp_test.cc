#include "core/timestamp.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tally::core {
namespace {

std::string parsed(std::string_view text) {
  const auto time = parse_rfc3339(text);
  return time ? to_rfc3339(time.value()) : "refused";
}

TEST(Timestamp, ReadsRfc3339) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z"},
      {"2026-11-21t08:00:00z", "2026-11-21T08:00:00Z"},
      {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
      {"1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z"},
      {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"},
      {"2026-11-21T08:00:00+05:45", "2026-11-21T02:15:00Z"},
      {"2026-11-21T08:00:00-03:30", "2026-11-21T11:30:00Z"},
      {"2026-11-21T08:00:00-00:00", "2026-11-21T08:00:00Z"},
      {"2026-01-01T00:30:00+23:59", "2025-12-31T00:31:00Z"},
      {"2024-02-29T23:59:59-00:01", "2024-03-01T00:00:59Z"},
      {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
      {"2026-11-21T08:00:00.5Z", "2026-11-21T08:00:00.500000Z"},
      {"2026-11-21T08:00:00.000001Z", "2026-11-21T08:00:00.000001Z"},
      {"2026-11-21T08:00:00.1234569Z", "2026-11-21T08:00:00.123456Z"},
      {"2026-11-21T08:00:00.000000000Z", "2026-11-21T08:00:00Z"},
      {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"},
      {"2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00.250000Z"},
      {"2017-01-01T05:44:60+05:45", "2017-01-01T00:00:00Z"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(parsed(text), expected) << text;
}

TEST(Timestamp, RefusesWhatIsNot) {
  for (const char* text : {"",
                           "2026",
                           "2026-11-21",
                           "2026-11-21T08:00Z",
                           "2026-11-21 08:00:00Z",
                           "2026-11-21T08:00:00",
                           "2026-11-21T08:00:00.Z",
                           "2026-11-21T08:00:00.1234567890Z",
                           "2026-11-21T08:00:00,5Z",
                           "2026-11-21T08:00:00ZZ",
                           "2026-11-21T08:00:00 Z",
                           "2026-11-21T08:00:00+0100",
                           "2026-11-21T08:00:00+24:00",
                           "2026-11-21T08:00:00+01:60",
                           "2026-11-21T08:00:00+1:00",
                           "2026-11-21T24:00:00Z",
                           "2026-11-21T08:60:00Z",
                           "2026-11-21T08:00:61Z",
                           "2026-11-21T08:00:60Z",
                           "2026-00-21T08:00:00Z",
                           "2026-13-21T08:00:00Z",
                           "2026-11-00T08:00:00Z",
                           "2026-11-31T08:00:00Z",
                           "2025-02-29T08:00:00Z",
                           "2100-02-29T08:00:00Z",
                           "1969-12-31T23:59:59Z",
                           "1969-12-31T23:30:00-01:00",
                           "1970-01-01T00:30:00+01:00",
                           "9999-12-31T23:59:59-00:01",
                           "9999-12-31T23:59:60Z",
                           "02026-11-21T08:00:00Z",
                           "+2026-11-21T08:00:00Z",
                           "2026-1-21T08:00:00Z",
                           "2026/11/21T08:00:00Z",
                           "2026-11-21T08:00:00\xe2\x88\x92"
                           "01:00"}) {
    EXPECT_EQ(parsed(text), "refused") << text;
  }
}

TEST(Timestamp, SaysWhatToWriteInstead) {
  const auto time = parse_rfc3339("yesterday");
  ASSERT_FALSE(time);
  EXPECT_NE(time.error().message.find("RFC 3339"), std::string::npos);
  EXPECT_NE(time.error().message.find("2026-11-21T08:00:00Z"), std::string::npos);
}

// Counts days one by one: no shared arithmetic with the code under test.
TEST(Timestamp, EveryDayFrom1970To2110IsTheNextAfterTheLast) {
  std::int64_t days = 0;
  const auto is_leap = [](int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; };
  for (int year = 1970; year <= 2110; ++year) {
    const int lengths[] = {31, is_leap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= lengths[month - 1]; ++day, ++days) {
        char text[32];
        std::snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", year, month, day);
        const auto time = parse_rfc3339(text);
        ASSERT_TRUE(time) << text;
        ASSERT_EQ(time.value().seconds(), days * 86'400) << text;
        ASSERT_EQ(to_rfc3339(time.value()), text);
      }
    }
  }
}

TEST(Timestamp, TextSurvivesWritingAndReading) {
  std::mt19937_64 random(7);
  std::uniform_int_distribution<std::int64_t> micros(0, 253'402'300'799'999'999);
  for (int i = 0; i < 20'000; ++i) {
    const Timestamp time = Timestamp::from_micros(micros(random));
    const auto again = parse_rfc3339(to_rfc3339(time));
    ASSERT_TRUE(again);
    ASSERT_EQ(again.value(), time);
  }
}

TEST(Timestamp, AnEventsTimeIsInTheYears1971To9998) {
  for (const char* text : {"1971-01-01T00:00:00Z", "2026-11-21T08:00:00Z",
                           "9998-12-31T23:59:59.999999Z", "9999-01-01T00:30:00+01:00"}) {
    EXPECT_TRUE(is_event_time(parse_rfc3339(text).value())) << text;
  }
  for (const char* text :
       {"1970-01-01T00:00:00Z", "1970-12-31T23:59:59.999999Z", "1971-01-01T00:30:00+01:00",
        "9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"}) {
    EXPECT_FALSE(is_event_time(parse_rfc3339(text).value())) << text;
  }
  EXPECT_FALSE(is_event_time(Timestamp::from_micros(-1)));
}

TEST(Timestamp, WritingATimeBefore1970IsABug) {
  EXPECT_DEATH(static_cast<void>(to_rfc3339(Timestamp::from_micros(-1))), "micros -1");
}

}  // namespace
}  // namespace tally::core
