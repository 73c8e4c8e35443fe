// The examples in schemas/ are what other languages test against: tally must agree with each.
#include "core/catalogue.h"
#include "core/usage_event.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace tally::core {
namespace {

const std::filesystem::path kSchemas = TALLY_SCHEMAS_DIR;

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::filesystem::path> examples(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kSchemas / "events" / folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string verdict(const std::string& text) {
  const auto event = parse_structured(text);
  if (!event) return event.error().message;
  const auto checked = validate(event.value());
  return checked ? "valid" : checked.error().message;
}

TEST(Schemas, EveryValidEventPasses) {
  const auto paths = examples("valid");
  ASSERT_GE(paths.size(), 15U);
  for (const auto& path : paths) EXPECT_EQ(verdict(contents(path)), "valid") << path;
}

TEST(Schemas, EveryValidEventSurvivesWritingAndReading) {
  for (const auto& path : examples("valid")) {
    const auto event = parse_structured(contents(path));
    ASSERT_TRUE(event) << path;
    std::string written;
    append_structured(event.value(), written);
    const auto again = parse_structured(written);
    ASSERT_TRUE(again) << path << ": " << again.error().message;
    EXPECT_EQ(again.value().id, event.value().id) << path;
    EXPECT_EQ(again.value().source, event.value().source) << path;
    EXPECT_EQ(again.value().type, event.value().type) << path;
    EXPECT_EQ(again.value().subject, event.value().subject) << path;
    EXPECT_EQ(again.value().time, event.value().time) << path;
    EXPECT_EQ(again.value().data, event.value().data) << path;
  }
}

// The name of an invalid example starts with the field at fault where there is one.
TEST(Schemas, EveryInvalidEventIsRefusedForItsField) {
  const std::vector<std::string> fields = {
      "id", "source", "type", "subject", "time", "data", "datacontenttype", "specversion"};
  const auto paths = examples("invalid");
  ASSERT_GE(paths.size(), 40U);
  for (const auto& path : paths) {
    const std::string reason = verdict(contents(path));
    EXPECT_NE(reason, "valid") << path;
    const std::string name = path.stem().string();
    const std::string field = name.substr(0, name.find('_'));
    if (std::find(fields.begin(), fields.end(), field) == fields.end()) continue;
    const bool within_data = field == "data" && reason.find("JSON object") != std::string::npos;
    EXPECT_TRUE(reason.rfind(field, 0) == 0 || within_data ||
                name.find("zero_byte") != std::string::npos)
        << path << ": " << reason;
  }
}

TEST(Schemas, TheExampleCatalogueIsOne) {
  const auto catalogue = parse_catalogue(contents(kSchemas / "catalogue" / "example.json"));
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const auto& meters = catalogue.value().meters;
  ASSERT_EQ(meters.size(), 4U);
  EXPECT_EQ(meters[0].slug, "api_calls");
  EXPECT_EQ(meters[0].aggregation, Aggregation::kCount);
  EXPECT_EQ(meters[1].slug, "ai_tokens");
  EXPECT_EQ(meters[1].aggregation, Aggregation::kSum);
  EXPECT_EQ(meters[1].value, JsonPath{"tokens"});
  ASSERT_EQ(meters[1].group_by.size(), 2U);
  EXPECT_EQ(meters[1].group_by[0].name, "api_key");
  EXPECT_EQ(meters[1].group_by[1].name, "model");
  EXPECT_EQ(meters[2].aggregation, Aggregation::kLatest);
  EXPECT_EQ(meters[3].aggregation, Aggregation::kLatest);
  for (const Meter& meter : meters) {
    EXPECT_EQ(meter.window, WindowSize::kHour);
    ASSERT_TRUE(meter.stripe);
    EXPECT_EQ(meter.stripe->event_name, "tally_" + meter.slug);
  }
  EXPECT_EQ(meters[3].stripe->decimals, 3);
  ASSERT_EQ(catalogue.value().plans.size(), 3U);
  EXPECT_EQ(catalogue.value().plans[2].slug, "enterprise");
  for (const PlanLimit& limit : catalogue.value().plans[2].limits) EXPECT_FALSE(limit.limit);
  EXPECT_TRUE(catalogue.value().tenants.empty());
}

}  // namespace
}  // namespace tally::core
