// Settings whose names are somebody else's: where they come from, which of them wins, what is kept
// from the command line.
#include "runtime/config/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tally::runtime::config {
namespace {

using testing::HasSubstr;
using testing::Not;

bool is_secret(std::string_view name) { return name == "sasl.password"; }
std::optional<Objection> judge(const FamilyValues& values) {
  if (values.contains("acks")) return Objection{"acks", "acks is ours"};
  if (values.size() > 3) return Objection{"", "too many"};
  return std::nullopt;
}
std::vector<std::pair<std::string, std::string>> refused() { return {{"acks", "it is ours"}}; }

constexpr std::array kFamilies = {Family{"kafka", "Kafka's.", &is_secret, &judge, &refused}};
constexpr std::array kOptions = {Option{.name = "topic", .default_value = "t"}};
constexpr std::array kFiles = {Positional{.name = "FILE", .required = false}};
constexpr std::array kCommands = {
    Command{.name = "publish", .options = kOptions, .positionals = kFiles, .families = kFamilies},
    Command{.name = "show", .options = kOptions}};

class ConfigFamily : public testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& name : variables_) ::unsetenv(name.c_str());
    for (const std::string& path : files_) std::filesystem::remove(path);
  }
  void set(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    variables_.push_back(name);
  }
  std::string file(const std::string& name, const std::string& content) {
    files_.push_back(testing::TempDir() + "/family." + std::to_string(::getpid()) + "." + name);
    std::ofstream(files_.back()) << content;
    return files_.back();
  }
  Parsed run(std::vector<std::string> arguments, const char* command = "publish") {
    std::vector<const char*> argv = {"prog", command};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    testing::internal::CaptureStderr();
    Parsed parsed =
        parse("prog", "A program.", kCommands, static_cast<int>(argv.size()), argv.data());
    err_ = testing::internal::GetCapturedStderr();
    return parsed;
  }
  FamilyValues values(std::vector<std::string> arguments) {
    const Parsed parsed = run(std::move(arguments));
    EXPECT_TRUE(parsed.settings) << err_;
    return parsed.settings ? parsed.settings->family("kafka") : FamilyValues{};
  }
  void expect_refused(std::vector<std::string> arguments, const std::string& part) {
    const Parsed parsed = run(std::move(arguments));
    EXPECT_FALSE(parsed.settings);
    EXPECT_EQ(parsed.exit_code, 2);
    EXPECT_THAT(err_, HasSubstr(part));
    EXPECT_THAT(err_, Not(HasSubstr("hunter2")));
  }

  std::vector<std::string> variables_;
  std::vector<std::string> files_;
  std::string err_;
};

TEST_F(ConfigFamily, FlagBeatsEnvironmentBeatsFile) {
  EXPECT_EQ(values({}), FamilyValues{});
  const std::string path = file("conf", "kafka.linger.ms = 1\nkafka.log_level = 7\n");
  EXPECT_EQ(values({"--config", path}), (FamilyValues{{"linger.ms", "1"}, {"log.level", "7"}}));
  set("TALLY_KAFKA_LINGER_MS", "2");
  set("TALLY_KAFKA_LOG_LEVEL", "6");
  EXPECT_EQ(values({"--config", path}), (FamilyValues{{"linger.ms", "2"}, {"log.level", "6"}}));
  EXPECT_EQ(values({"--config", path, "--kafka.linger.ms=3", "file", "--kafka.log_level", "5"}),
            (FamilyValues{{"linger.ms", "3"}, {"log.level", "5"}}));
  set("TALLY_KAFKA_LINGER_MS", "");
  EXPECT_EQ(values({"--config", path}).at("linger.ms"), "1");
}

TEST_F(ConfigFamily, TheRestIsReadAsBefore) {
  const Parsed parsed = run({"--kafka.linger.ms", "3", "input", "--topic", "u"});
  ASSERT_TRUE(parsed.settings) << err_;
  EXPECT_EQ(parsed.settings->text("topic"), "u");
  EXPECT_EQ(parsed.settings->text("FILE"), "input");
}

TEST_F(ConfigFamily, SecretsAreRefusedWhereOthersCanRead) {
  expect_refused({"--kafka.sasl.password=hunter2"}, "TALLY_KAFKA_SASL_PASSWORD");
  expect_refused({"--kafka.sasl.password", "hunter2"}, "--kafka.sasl.password-file PATH");
  expect_refused({"--config", file("conf", "kafka.sasl.password = hunter2\n")},
                 "does not belong into this file");
}

TEST_F(ConfigFamily, SecretsComeFromTheEnvironmentOrAFileOfTheirOwn) {
  const FamilyValues wanted = {{"sasl.password", "hunter2"}};
  const std::string secret = file("secret", "hunter2\n");
  EXPECT_EQ(values({"--kafka.sasl.password-file", secret}), wanted);
  EXPECT_EQ(values({"--config", file("conf", "kafka.sasl.password-file = " + secret + "\n")}),
            wanted);
  set("TALLY_KAFKA_SASL_PASSWORD_FILE", secret);
  EXPECT_EQ(values({}), wanted);
  ::unsetenv("TALLY_KAFKA_SASL_PASSWORD_FILE");
  set("TALLY_KAFKA_SASL_PASSWORD", "hunter2");
  EXPECT_EQ(values({}), wanted);
}

TEST_F(ConfigFamily, WhatTheOwnerObjectsToNamesWhereItCameFrom) {
  expect_refused({"--kafka.acks=1"}, "--kafka.acks: acks is ours");
  expect_refused({"--kafka.a=1", "--kafka.b=1", "--kafka.c=1", "--kafka.d=1"}, "kafka: too many");
  set("TALLY_KAFKA_ACKS", "1");
  expect_refused({}, "TALLY_KAFKA_ACKS: acks is ours");
}

TEST_F(ConfigFamily, OnlyForCommandsThatHaveIt) {
  const Parsed parsed = run({"--kafka.linger.ms=3"}, "show");
  EXPECT_FALSE(parsed.settings);
  EXPECT_THAT(err_, HasSubstr("--kafka.linger.ms: show has no such settings"));
  expect_refused({"--kafka.linger.ms"}, "--kafka.linger.ms has no value");
  set("TALLY_KAFKA_LINGER_MS", "2");
  EXPECT_TRUE(run({}, "show").settings) << err_;
}

TEST_F(ConfigFamily, IsInTheHelpAndInTheTable) {
  EXPECT_THAT(help_text("prog", "", kCommands, &kCommands[0]), HasSubstr("TALLY_KAFKA_NAME"));
  const std::string table = markdown_table("prog", kCommands);
  EXPECT_THAT(table, HasSubstr("| `--kafka.NAME` | `TALLY_KAFKA_NAME` |  |  | Kafka's. |"));
  EXPECT_THAT(table, HasSubstr("| `acks` | it is ours |"));
}

}  // namespace
}  // namespace tally::runtime::config
