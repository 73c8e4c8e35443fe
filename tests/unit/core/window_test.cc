#include "core/window.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tally::core {
namespace {

Timestamp at(std::string_view text) {
  const auto time = parse_rfc3339(text);
  EXPECT_TRUE(time) << text;
  return time ? time.value() : Timestamp();
}

std::string shown(const Window& window) {
  return to_rfc3339(window.start) + " " + to_rfc3339(window.end);
}

TEST(Window, IsHalfOpenAndAlignedInUtc) {
  struct Row {
    const char* time;
    WindowSize size;
    const char* window;
  };
  const std::vector<Row> rows = {
      {"2026-11-21T08:59:59.999999Z", WindowSize::kHour,
       "2026-11-21T08:00:00Z 2026-11-21T09:00:00Z"},
      {"2026-11-21T09:00:00Z", WindowSize::kHour, "2026-11-21T09:00:00Z 2026-11-21T10:00:00Z"},
      {"2026-11-21T09:00:59.999999Z", WindowSize::kMinute,
       "2026-11-21T09:00:00Z 2026-11-21T09:01:00Z"},
      {"2026-12-31T23:59:59Z", WindowSize::kDay, "2026-12-31T00:00:00Z 2027-01-01T00:00:00Z"},
      {"1970-01-01T00:00:00Z", WindowSize::kDay, "1970-01-01T00:00:00Z 1970-01-02T00:00:00Z"},
      {"2026-11-21T00:30:00+05:45", WindowSize::kHour, "2026-11-20T18:00:00Z 2026-11-20T19:00:00Z"},
  };
  for (const Row& row : rows) EXPECT_EQ(shown(window_of(at(row.time), row.size)), row.window);
}

TEST(Window, HoldsItsTimeAndMeetsTheNext) {
  std::mt19937_64 random(11);
  std::uniform_int_distribution<std::int64_t> micros(0, 4'102'444'800'000'000);
  for (int i = 0; i < 5'000; ++i) {
    const Timestamp time = Timestamp::from_micros(micros(random));
    for (const WindowSize size : {WindowSize::kMinute, WindowSize::kHour, WindowSize::kDay}) {
      const Window window = window_of(time, size);
      ASSERT_LE(window.start, time);
      ASSERT_LT(time, window.end);
      ASSERT_EQ(window.end.seconds() - window.start.seconds(), seconds_of(size));
      ASSERT_EQ(window_of(window.end, size).start, window.end);
      ASSERT_EQ(window_of(window.start, size), window);
    }
    const Window month = utc_month_of(time);
    ASSERT_LE(month.start, time);
    ASSERT_LT(time, month.end);
    ASSERT_EQ(utc_month_of(month.end).start, month.end);
    ASSERT_EQ(utc_month_of(month.start), month);
    ASSERT_EQ(to_rfc3339(month.start).substr(8), "01T00:00:00Z");
  }
}

TEST(Window, MonthsHaveTheirLength) {
  EXPECT_EQ(shown(utc_month_of(at("2024-02-29T23:59:59.999999Z"))),
            "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z");
  EXPECT_EQ(shown(utc_month_of(at("2025-02-28T12:00:00Z"))),
            "2025-02-01T00:00:00Z 2025-03-01T00:00:00Z");
  EXPECT_EQ(shown(utc_month_of(at("2026-12-31T23:59:59Z"))),
            "2026-12-01T00:00:00Z 2027-01-01T00:00:00Z");
  EXPECT_EQ(shown(utc_month_of(at("2027-01-01T00:00:00Z"))),
            "2027-01-01T00:00:00Z 2027-02-01T00:00:00Z");
}

}  // namespace
}  // namespace tally::core
