#include "tests/support/generator/bench_stream.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

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
