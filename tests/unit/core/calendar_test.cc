// Against tables that Python's zoneinfo wrote (zones.py beside this file makes them anew), and
// against the obvious: windows partition time and never cross an edge.
#include "core/calendar.h"

#include "core/limits.h"
#include "core/timestamp.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace tally::core {
namespace {

Timestamp at(std::string_view text) { return parse_rfc3339(text).value(); }

std::string shown(const Window& window) {
  return to_rfc3339(window.start) + " " + to_rfc3339(window.end);
}

TimeZone zone(const std::string& name) {
  auto loaded = TimeZone::load(name);
  EXPECT_TRUE(loaded) << name;
  return loaded ? loaded.value() : TimeZone();
}

Calendar calendar(const std::string& name, std::vector<Window> periods = {},
                  Payment payment = Payment::kNone) {
  return {zone(name), std::move(periods), payment};
}

std::string window(const Calendar& calendar, std::string_view time, WindowSize size) {
  return shown(calendar.window_of(at(time), size));
}

// Every name of the machine's zoneinfo that is a zone.
std::vector<std::string> all_zones() {
  std::vector<std::string> names;
  const std::filesystem::path root = "/usr/share/zoneinfo";
  std::error_code none;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root, none)) {
    const std::string name = std::filesystem::relative(entry.path(), root, none).string();
    // posix/ and right/ are copies; those of right/ count leap seconds.
    if (!entry.is_regular_file() || name.starts_with("posix") || name.starts_with("right"))
      continue;
    if (TimeZone::load(name)) names.push_back(name);
  }
  return names;
}

// An event of the first days of 1970 was counted in a day that began before 1970, which cannot be
// written, and ended the process. At the edges of what an event may have nothing comes near that.
TEST(TimeZone, WhatHoldsAnEventCanBeWrittenInEveryZone) {
  std::vector<std::string> names = all_zones();
  ASSERT_GT(names.size(), 100U) << "install tzdata";
  names.emplace_back("UTC");
  std::vector<Timestamp> times;
  for (const std::int64_t edge : {kFirstEventSeconds, kEndOfEventsSeconds - 1}) {
    const std::int64_t inwards = edge == kFirstEventSeconds ? 1 : -1;
    for (std::int64_t hours = 0; hours <= 24LL * 35; hours += hours < 50 ? 1 : 23)
      times.push_back(Timestamp::from_seconds(edge + inwards * hours * 3600));
  }
  times.push_back(Timestamp::from_micros(kEndOfEventsSeconds * 1'000'000 - 1));
  const Timestamp first_writable;
  const Timestamp end = Timestamp::from_seconds(kEndOfYear9999Seconds);
  for (const std::string& name : names) {
    const Calendar calendar_of_zone = calendar(name);
    for (const Timestamp time : times) {
      ASSERT_TRUE(is_event_time(time));
      const Window day = calendar_of_zone.day_of(time).window;
      const Window month = calendar_of_zone.month_of(time).window;
      ASSERT_TRUE(first_writable <= month.start && month.end < end) << name << shown(month);
      ASSERT_TRUE(month.start <= day.start && day.end <= month.end) << name << shown(day);
      // as core/limits.h has it
      const auto shift = kMaxZoneShiftSeconds + 31 * kDaySeconds;
      ASSERT_LE(time.seconds() - month.start.seconds(), shift) << name;
      ASSERT_LE(month.end.seconds() - time.seconds(), shift) << name;
      for (const WindowSize size : {WindowSize::kMinute, WindowSize::kHour, WindowSize::kDay}) {
        const Window got = calendar_of_zone.window_of(time, size);
        ASSERT_TRUE(month.start <= got.start && got.end <= month.end) << name << shown(got);
      }
    }
  }
}

// Each line: zone, date, first second of the day, first second of the next (both since 1970).
TEST(TimeZone, DaysAreWhatPythonSays) {
  std::ifstream in(std::string(TALLY_TEST_DATA_DIR) + "/local_days.txt");
  ASSERT_TRUE(in);
  int days = 0;
  int odd = 0;
  std::string name;
  std::string loaded_name;
  TimeZone loaded;
  for (std::int64_t date = 0, start = 0, end = 0; in >> name >> date >> start >> end; ++days) {
    if (name != loaded_name) loaded = zone(loaded_name = name);
    if (end - start != 86'400) ++odd;
    const LocalSpan expected{{Timestamp::from_seconds(start), Timestamp::from_seconds(end)},
                             static_cast<std::int32_t>(date)};
    for (const std::int64_t second : {start, (start + end) / 2, end - 1}) {
      EXPECT_EQ(loaded.day_of(Timestamp::from_seconds(second)), expected) << name << " " << date;
    }
    EXPECT_EQ(loaded.day_of(Timestamp::from_micros(end * 1'000'000 - 1)), expected) << name;
  }
  EXPECT_GT(days, 800);
  EXPECT_GT(odd, 30);
}

TEST(TimeZone, MonthsBeginWithTheirFirstDay) {
  struct Row {
    const char* zone;
    const char* time;
    const char* month;
    const char* first;
  };
  const std::vector<Row> rows = {{"UTC", "2026-03-31T23:59:59.999999Z",
                                  "2026-03-01T00:00:00Z 2026-04-01T00:00:00Z", "2026-03-01"},
                                 {"Europe/Berlin", "2026-03-31T22:00:00Z",
                                  "2026-03-31T22:00:00Z 2026-04-30T22:00:00Z", "2026-04-01"},
                                 {"Europe/Berlin", "2026-03-31T21:59:59Z",
                                  "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z", "2026-03-01"},
                                 {"Europe/Berlin", "2026-10-25T00:30:00Z",
                                  "2026-09-30T22:00:00Z 2026-10-31T23:00:00Z", "2026-10-01"},
                                 {"Asia/Kolkata", "2025-12-31T18:30:00Z",
                                  "2025-12-31T18:30:00Z 2026-01-31T18:30:00Z", "2026-01-01"},
                                 {"Asia/Kathmandu", "2026-02-28T18:14:59Z",
                                  "2026-01-31T18:15:00Z 2026-02-28T18:15:00Z", "2026-02-01"},
                                 {"Pacific/Apia", "2011-12-31T12:00:00Z",
                                  "2011-12-31T10:00:00Z 2012-01-31T10:00:00Z", "2012-01-01"}};
  for (const Row& row : rows) {
    const LocalSpan month = zone(row.zone).month_of(at(row.time));
    EXPECT_EQ(shown(month.window), row.month) << row.zone << " " << row.time;
    EXPECT_EQ(to_rfc3339(Timestamp::from_seconds(month.first_date * 86'400LL)).substr(0, 10),
              row.first);
  }
}

TEST(TimeZone, UnknownNamesAreNamed) {
  for (const char* name : {"Europe/Atlantis", "", "localtime", "/etc/localtime", "../zoneinfo/UTC",
                           "Fixed/UTC+01:00:00", "Factory"}) {
    const auto loaded = TimeZone::load(name);
    ASSERT_FALSE(loaded) << name;
    EXPECT_NE(loaded.error().message.find(std::string("\"") + name + "\""), std::string::npos);
  }
}

TEST(Calendar, WindowsSumToTheDaysOfTheZone) {
  using enum WindowSize;
  const Calendar utc = calendar("UTC");
  EXPECT_EQ(window(utc, "2026-11-21T08:59:59.999999Z", kHour),
            "2026-11-21T08:00:00Z 2026-11-21T09:00:00Z");
  EXPECT_EQ(window(utc, "2026-11-21T08:59:59Z", kMinute),
            "2026-11-21T08:59:00Z 2026-11-21T09:00:00Z");
  EXPECT_EQ(window(utc, "2026-11-21T08:59:59Z", kDay), "2026-11-21T00:00:00Z 2026-11-22T00:00:00Z");
  // 25 and 23 hours
  const Calendar berlin = calendar("Europe/Berlin");
  EXPECT_EQ(window(berlin, "2026-10-25T22:59:59Z", kDay),
            "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z");
  EXPECT_EQ(window(berlin, "2026-03-29T12:00:00Z", kDay),
            "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z");
  EXPECT_EQ(window(berlin, "2026-10-25T00:30:00Z", kHour),
            "2026-10-25T00:00:00Z 2026-10-25T01:00:00Z");
  const Calendar kolkata = calendar("Asia/Kolkata");
  EXPECT_EQ(window(kolkata, "2026-11-21T18:29:59Z", kHour),
            "2026-11-21T18:15:00Z 2026-11-21T18:30:00Z");
  EXPECT_EQ(window(kolkata, "2026-11-21T18:30:00Z", kDay),
            "2026-11-21T18:30:00Z 2026-11-22T18:30:00Z");
  const Calendar kathmandu = calendar("Asia/Kathmandu");
  EXPECT_EQ(window(kathmandu, "2026-11-21T18:14:59Z", kHour),
            "2026-11-21T18:00:00Z 2026-11-21T18:15:00Z");
  // Half an hour of summer time: whole hours in summer, quarters in winter and where they meet.
  const Calendar lord_howe = calendar("Australia/Lord_Howe");
  EXPECT_EQ(window(lord_howe, "2026-01-10T03:20:00Z", kHour),
            "2026-01-10T03:00:00Z 2026-01-10T04:00:00Z");
  EXPECT_EQ(window(lord_howe, "2026-07-10T03:20:00Z", kHour),
            "2026-07-10T03:15:00Z 2026-07-10T03:30:00Z");
}

TEST(Calendar, PeriodEdgesCutWindows) {
  using enum WindowSize;
  const std::vector<Window> periods = {{at("2026-11-21T08:17:31Z"), at("2026-12-21T08:17:31Z")},
                                       {at("2026-10-21T08:17:31Z"), at("2026-11-21T08:17:31Z")}};
  const Calendar cut = calendar("UTC", periods, Payment::kStripe);
  EXPECT_EQ(window(cut, "2026-11-21T08:17:30.999999Z", kHour),
            "2026-11-21T08:00:00Z 2026-11-21T08:17:31Z");
  EXPECT_EQ(window(cut, "2026-11-21T08:17:31Z", kHour),
            "2026-11-21T08:17:31Z 2026-11-21T09:00:00Z");
  EXPECT_EQ(window(cut, "2026-11-21T08:17:31Z", kMinute),
            "2026-11-21T08:17:31Z 2026-11-21T08:18:00Z");
  EXPECT_EQ(window(cut, "2026-11-21T08:17:31Z", kDay), "2026-11-21T08:17:31Z 2026-11-22T00:00:00Z");
  EXPECT_EQ(window(cut, "2026-11-22T08:17:31Z", kDay), "2026-11-22T00:00:00Z 2026-11-23T00:00:00Z");
  // before the first edge
  EXPECT_FALSE(cut.period_of(at("2026-10-21T08:17:30Z")));
  EXPECT_EQ(window(cut, "2026-10-21T08:10:00Z", kHour),
            "2026-10-21T08:00:00Z 2026-10-21T08:17:31Z");
  EXPECT_EQ(shown(*cut.period_of(at("2026-11-21T08:17:30.999999Z"))),
            "2026-10-21T08:17:31Z 2026-11-21T08:17:31Z");
  EXPECT_EQ(shown(*cut.period_of(at("2026-11-21T08:17:31Z"))),
            "2026-11-21T08:17:31Z 2026-12-21T08:17:31Z");
  // later than all that is known
  EXPECT_FALSE(cut.period_of(at("2026-12-21T08:17:31Z")));
  EXPECT_EQ(window(cut, "2026-12-21T08:17:31Z", kHour),
            "2026-12-21T08:17:31Z 2026-12-21T08:18:00Z");
  EXPECT_EQ(window(cut, "2026-12-21T08:19:31Z", kDay), "2026-12-21T08:19:00Z 2026-12-21T08:20:00Z");
  EXPECT_EQ(window(calendar("UTC", periods), "2026-12-21T08:19:31Z", kHour),
            "2026-12-21T08:17:31Z 2026-12-21T09:00:00Z");
}

TEST(Calendar, APayerWithoutAPeriodHasMinutes) {
  const Calendar payer = calendar("Europe/Berlin", {}, Payment::kStripe);
  for (const WindowSize size : {WindowSize::kMinute, WindowSize::kHour, WindowSize::kDay}) {
    EXPECT_EQ(window(payer, "2026-11-21T08:59:59Z", size),
              "2026-11-21T08:59:00Z 2026-11-21T09:00:00Z");
  }
}

TEST(Calendar, OfOverlappingPeriodsTheLastStartedHoldsTheMoment) {
  const Calendar moved = calendar("UTC",
                                  {{at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")},
                                   {at("2026-11-10T00:00:00Z"), at("2026-11-20T00:00:00Z")}},
                                  Payment::kStripe);
  EXPECT_EQ(shown(*moved.period_of(at("2026-11-12T00:00:00Z"))),
            "2026-11-10T00:00:00Z 2026-11-20T00:00:00Z");
  EXPECT_EQ(shown(*moved.period_of(at("2026-11-20T00:00:00Z"))),
            "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
}

// The obvious rules, at random moments around every edge there is.
TEST(Calendar, WindowsPartitionTimeAndCrossNothing) {
  std::mt19937_64 random(7);
  const std::int64_t year = at("2026-01-01T00:00:00Z").seconds();
  for (const char* name : {"UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu",
                           "Australia/Lord_Howe", "America/Sao_Paulo", "America/St_Johns"}) {
    std::vector<Window> periods;
    std::int64_t edge = year + static_cast<std::int64_t>(random() % 86'400);
    for (int i = 0; i < 12; ++i) {
      const std::int64_t next = edge + static_cast<std::int64_t>(random() % 3'000'000) + 1;
      periods.push_back({Timestamp::from_seconds(edge), Timestamp::from_seconds(next)});
      edge = next + (i == 5 ? 100'000 : 0);
    }
    const Calendar cut = calendar(name, periods, Payment::kStripe);
    CalendarReader reader(cut);
    for (int i = 0; i < 20'000; ++i) {
      std::int64_t second = year + static_cast<std::int64_t>(random() % 40'000'000);
      if (i % 4 == 0) second = periods[random() % periods.size()].end.seconds() - 1 + i % 3;
      const Timestamp time = Timestamp::from_micros(
          second * 1'000'000 + static_cast<std::int64_t>(random() % 1'000'000));
      const Window day = cut.day_of(time).window;
      const Window month = cut.month_of(time).window;
      ASSERT_TRUE(month.start <= day.start && day.end <= month.end);
      for (const WindowSize size : {WindowSize::kMinute, WindowSize::kHour, WindowSize::kDay}) {
        const Window got = cut.window_of(time, size);
        ASSERT_EQ(reader.window_of(time, size), got) << name << " " << to_rfc3339(time);
        ASSERT_TRUE(got.start <= time && time < got.end);
        ASSERT_TRUE(day.start <= got.start && got.end <= day.end) << name << " " << shown(got);
        // every moment of a window has the same window: windows partition time
        const Timestamp last = Timestamp::from_micros(got.end.micros() - 1);
        ASSERT_EQ(cut.window_of(got.start, size), got) << name << " " << shown(got);
        ASSERT_EQ(cut.window_of(last, size), got) << name << " " << shown(got);
        ASSERT_EQ(cut.period_of(got.start), cut.period_of(last)) << name << " " << shown(got);
        for (const Window& period : periods) {
          ASSERT_FALSE(got.start < period.start && period.start < got.end);
          ASSERT_FALSE(got.start < period.end && period.end < got.end);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tally::core
