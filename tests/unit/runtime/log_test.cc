#include "runtime/log/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace tally::runtime::log {
namespace {

TEST(LogTest, LineIsOneJsonObject) {
  const std::string line =
      json_line("2026-01-02T03:04:05.006Z", "prog", Level::kWarn, "it happened",
                {{"text", "a\"b\\c\nd\x01"}, {"n", 7}, {"flag", true}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "warn");
  EXPECT_EQ(parsed["event"], "it happened");
  EXPECT_EQ(parsed["text"], "a\"b\\c\nd\x01");
  EXPECT_EQ(parsed["n"], "7");
  EXPECT_EQ(parsed["flag"], "true");
}

TEST(LogTest, InvalidUtf8BecomesReplacementCharacters) {
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    const std::string line =
        json_line("t", "p", Level::kInfo, "e", {{"k", std::string("a") + bad}});
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << line;
    EXPECT_TRUE(parsed["k"].get<std::string>().starts_with("a\xef\xbf\xbd")) << line;
  }
  const std::string line =
      json_line("t", "p", Level::kInfo, "e", {{"k", "caf\xc3\xa9 \xf0\x9f\x98\x80"}});
  EXPECT_EQ(nlohmann::json::parse(line)["k"], "caf\xc3\xa9 \xf0\x9f\x98\x80");
}

TEST(LogTest, LevelsBelowTheThresholdAreSilent) {
  ::setenv("TALLY_LOG_LEVEL", "warn", 1);
  ::setenv("TALLY_LOG", "json", 1);
  init("log_test");
  testing::internal::CaptureStderr();
  info("quiet");
  warn("loud", {{"why", "test"}});
  const std::string written = testing::internal::GetCapturedStderr();
  ::unsetenv("TALLY_LOG_LEVEL");
  ::unsetenv("TALLY_LOG");
  init("log_test");
  EXPECT_EQ(written.find("quiet"), std::string::npos);
  const auto parsed = nlohmann::json::parse(written);
  EXPECT_EQ(parsed["program"], "log_test");
  EXPECT_EQ(parsed["why"], "test");
}

}  // namespace
}  // namespace tally::runtime::log
