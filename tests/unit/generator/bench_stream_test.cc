#include "tests/support/generator/bench_stream.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>

namespace tally::generator {
namespace {

using nlohmann::json;

BenchOptions small(int dimensions) {
  return {.records = 20'000,
          .seed = 5,
          .tenants = 20,
          .dimensions = dimensions,
          .start_micros = 1'763'611'200'000'000};
}

TEST(BenchStream, SumsHoldAgainstASlowCount) {
  const BenchStream stream(small(0));
  BenchRecord record;
  BenchSums sums;
  std::map<std::string, std::string> seen;
  std::int64_t calls = 0;
  std::int64_t tokens = 0;
  double minutes = 0;
  std::int64_t copies = 0;
  for (std::int64_t number = 0; number < 20'000; ++number) {
    stream.make(number, record, sums);
    const auto [known, first] = seen.emplace(record.id, record.text);
    if (!first) {
      EXPECT_EQ(known->second, record.text) << "a copy that is none";
      ++copies;
      continue;
    }
    const json event = json::parse(record.text);
    EXPECT_EQ(event["id"], record.id);
    const json& data = event["data"];
    if (event["type"] == "api.request") ++calls;
    if (event["type"] == "llm.completion") tokens += data["tokens"].get<std::int64_t>();
    if (event["type"] == "job.finished") minutes += data["minutes"].get<double>();
  }
  const json expected = json::parse(stream.expected(sums).dump());
  EXPECT_EQ(expected["classes"]["counted"], static_cast<std::int64_t>(seen.size()));
  EXPECT_EQ(expected["classes"]["duplicate"], copies);
  EXPECT_NEAR(static_cast<double>(copies), 400, 80);
  EXPECT_EQ(expected["meters"]["api_calls"]["total"], std::to_string(calls));
  EXPECT_EQ(expected["meters"]["ai_tokens"]["total"], std::to_string(tokens));
  EXPECT_NEAR(std::stod(expected["meters"]["job_minutes"]["total"].get<std::string>()), minutes,
              1e-3);
  EXPECT_NEAR(static_cast<double>(sums.bytes) / 20'000, 310, 10);
}

// Of `stream`, counted from its events' texts; thousandths, for no amount has more digits.
std::map<std::string, std::pair<std::int64_t, std::int64_t>> counted_windows(
    const BenchStream& stream, const BenchOptions& options) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> windows;
  std::set<std::string> seen;
  BenchRecord record;
  BenchSums sums;
  for (std::int64_t number = 0; number < options.records; ++number) {
    stream.make(number, record, sums);
    if (!seen.insert(record.id).second) continue;
    const json event = json::parse(record.text);
    const json& data = event["data"];
    const std::string hour = event["time"].get<std::string>().substr(0, 13) + ":00:00Z";
    const std::string where = event["subject"].get<std::string>() + ',' +
                              (data.contains("tokens")    ? "ai_tokens"
                               : data.contains("minutes") ? "job_minutes"
                                                          : "api_calls") +
                              ',' + std::to_string(parse_utc(hour).value() / kMicrosPerSecond);
    auto& [thousandths, events] = windows[where];
    thousandths += data.contains("tokens")    ? data["tokens"].get<std::int64_t>() * 1'000
                   : data.contains("minutes") ? std::llround(data["minutes"].get<double>() * 1'000)
                                              : 1'000;
    ++events;
  }
  return windows;
}

TEST(BenchStream, WindowsHoldAgainstASlowCount) {
  BenchOptions options = small(1);
  options.hours = 3;
  options.start_micros += std::int64_t{1'800} * kMicrosPerSecond;  // so its times lie in four hours
  const BenchStream stream(options);
  const auto counted = counted_windows(stream, options);
  EXPECT_EQ(counted.size(), 20U * 3 * 4);

  BenchRecord record;
  BenchSums sums;
  BenchSums half;
  for (std::int64_t number = 0; number < options.records; ++number) {
    stream.make(number, record, number % 2 == 0 ? sums : half);
  }
  sums.add(half);
  std::istringstream lines(stream.expected_windows(sums));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "tenant,meter,start,quantity,events");
  std::size_t rows = 0;
  for (; std::getline(lines, line); ++rows) {
    const std::size_t third = line.find(',', line.find(',', line.find(',') + 1) + 1);
    const auto found = counted.find(line.substr(0, third));
    ASSERT_NE(found, counted.end()) << line;
    const auto [thousandths, events] = found->second;
    EXPECT_EQ(line.substr(third + 1), thousandths_text(thousandths) + ',' + std::to_string(events));
  }
  EXPECT_EQ(rows, counted.size());
}

TEST(BenchStream, ARecordDependsOnItsNumberAlone) {
  const BenchStream stream(small(2));
  BenchSums sums;
  BenchRecord alone;
  BenchRecord again;
  stream.make(12'345, alone, sums);
  for (std::int64_t number = 12'000; number <= 12'345; ++number) stream.make(number, again, sums);
  EXPECT_EQ(alone.text, again.text);
  EXPECT_TRUE(json::parse(alone.text)["data"].contains("dim_2"));
  EXPECT_EQ(stream.catalogue()["meters"][0]["group_by"]["dim_1"], "/dim_1");
}

TEST(BenchStream, DimensionsHaveAsManyValuesAndTimesSpanAsManyHoursAsAsked) {
  BenchOptions options = small(1);
  options.dimension_values = 20;
  options.hours = 2;
  const BenchStream stream(options);
  BenchRecord record;
  BenchSums sums;
  std::set<std::string> values;
  std::set<std::string> hours;
  for (std::int64_t number = 0; number < 20'000; ++number) {
    stream.make(number, record, sums);
    const json event = json::parse(record.text);
    values.insert(event["data"]["dim_1"].get<std::string>());
    hours.insert(event["time"].get<std::string>().substr(0, 13));
  }
  EXPECT_EQ(values.size(), 20U);
  EXPECT_EQ(hours.size(), 2U);
}

}  // namespace
}  // namespace tally::generator
