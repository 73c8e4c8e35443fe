#include "runtime/config/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tally::runtime::config {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::array kOptions = {
    Option{.name = "commit-interval-ms",
           .kind = Kind::kInteger,
           .default_value = "1000",
           .sentence = "Pause between commits.",
           .min = 10,
           .max = 60'000},
    Option{.name = "topic", .sentence = "Topic to read.", .required = true},
    Option{.name = "group", .default_value = "tally", .sentence = "Consumer group."},
    Option{.name = "mirror", .kind = Kind::kSwitch, .default_value = "true", .sentence = "Mirror."},
    Option{.name = "stripe-key", .sentence = "The key.", .secret = true},
};
constexpr std::array kPositionals = {
    Positional{.name = "FILE", .sentence = "What to read, - for standard input."}};
constexpr std::array kOther = {Option{.name = "only-other", .sentence = "Elsewhere."}};
constexpr std::array kSingle = {Command{.name = "", .options = kOptions}};
constexpr std::array kSeveral = {
    Command{.name = "publish",
            .sentence = "Sends events.",
            .options = kOptions,
            .positionals = kPositionals},
    Command{.name = "show", .sentence = "Shows things.", .options = kOther}};

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 (std::string("config.") + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override {
    for (const std::string& name : variables_) ::unsetenv(name.c_str());
    std::filesystem::remove_all(directory_);
  }
  void set(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    variables_.push_back(name);
  }
  std::string file(const std::string& name, const std::string& content) {
    const auto path = directory_ / name;
    std::ofstream(path) << content;
    return path.string();
  }
  Parsed run(std::span<const Command> commands, std::vector<std::string> arguments) {
    std::vector<const char*> argv = {"prog"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    Parsed parsed =
        parse("prog", "A program.", commands, static_cast<int>(argv.size()), argv.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return parsed;
  }
  void expect_refused(const Parsed& parsed, const std::string& part) {
    EXPECT_FALSE(parsed.settings.has_value());
    EXPECT_EQ(parsed.exit_code, 2);
    EXPECT_THAT(err_, HasSubstr(part));
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
  }

  std::filesystem::path directory_;
  std::vector<std::string> variables_;
  std::string out_;
  std::string err_;
};

TEST_F(ConfigTest, DefaultsStandWhenNobodySpeaks) {
  const Parsed parsed = run(kSingle, {"--topic", "t"});
  ASSERT_TRUE(parsed.settings) << err_;
  EXPECT_EQ(parsed.settings->integer("commit-interval-ms"), 1000);
  EXPECT_TRUE(parsed.settings->enabled("mirror"));
  EXPECT_FALSE(parsed.settings->has("stripe-key"));
}

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFile) {
  const std::string path =
      file("a.conf", "# comment\n\ncommit-interval-ms = 20\ngroup=g1\ntopic = t\n");
  EXPECT_EQ(run(kSingle, {"--config", path}).settings->integer("commit-interval-ms"), 20);
  set("TALLY_COMMIT_INTERVAL_MS", "30");
  EXPECT_EQ(run(kSingle, {"--config", path}).settings->integer("commit-interval-ms"), 30);
  const Parsed parsed = run(kSingle, {"--config", path, "--commit-interval-ms=40"});
  EXPECT_EQ(parsed.settings->integer("commit-interval-ms"), 40);
  EXPECT_EQ(parsed.settings->text("group"), "g1");
}

TEST_F(ConfigTest, FileMayBeNamedByTheEnvironment) {
  set("TALLY_CONFIG", file("a.conf", "topic = from-file\n"));
  EXPECT_EQ(run(kSingle, {}).settings->text("topic"), "from-file");
}

TEST_F(ConfigTest, EmptyVariableCountsAsUnset) {
  set("TALLY_GROUP", "");
  EXPECT_EQ(run(kSingle, {"--topic", "t"}).settings->text("group"), "tally");
}

TEST_F(ConfigTest, BoundsNameSourceValueAndLimit) {
  expect_refused(run(kSingle, {"--topic", "t", "--commit-interval-ms", "9"}),
                 "--commit-interval-ms is \"9\", but commit-interval-ms must be a whole number "
                 "from 10 to 60000");
  expect_refused(run(kSingle, {"--topic", "t", "--commit-interval-ms", "60001"}), "60001");
  expect_refused(run(kSingle, {"--topic", "t", "--commit-interval-ms", "-5"}), "\"-5\"");
  expect_refused(run(kSingle, {"--topic", "t", "--commit-interval-ms", "10s"}), "\"10s\"");
  const std::string path = file("a.conf", "topic = t\ncommit-interval-ms = 99999999999999999999\n");
  expect_refused(run(kSingle, {"--config", path}), path + ":2 is \"99999999999999999999\"");
  set("TALLY_COMMIT_INTERVAL_MS", "0x10");
  expect_refused(run(kSingle, {"--topic", "t"}), "TALLY_COMMIT_INTERVAL_MS is \"0x10\"");
}

TEST_F(ConfigTest, BoundsThemselvesAreAllowed) {
  EXPECT_TRUE(run(kSingle, {"--topic", "t", "--commit-interval-ms", "10"}).settings);
  EXPECT_TRUE(run(kSingle, {"--topic", "t", "--commit-interval-ms", "60000"}).settings);
}

TEST_F(ConfigTest, SwitchesTakeAValueEverywhere) {
  EXPECT_FALSE(run(kSingle, {"--topic", "t", "--mirror=false"}).settings->enabled("mirror"));
  EXPECT_TRUE(run(kSingle, {"--topic", "t", "--mirror"}).settings->enabled("mirror"));
  set("TALLY_MIRROR", "off");
  EXPECT_FALSE(run(kSingle, {"--topic", "t"}).settings->enabled("mirror"));
  EXPECT_TRUE(run(kSingle, {"--topic", "t", "--mirror"}).settings->enabled("mirror"));
  set("TALLY_MIRROR", "perhaps");
  expect_refused(run(kSingle, {"--topic", "t"}), "TALLY_MIRROR is \"perhaps\"");
}

TEST_F(ConfigTest, RequiredIsAskedFor) {
  expect_refused(run(kSingle, {}), "topic is required: give --topic, set TALLY_TOPIC");
}

TEST_F(ConfigTest, SecretsAreRefusedWhereOthersCanRead) {
  expect_refused(run(kSingle, {"--topic", "t", "--stripe-key", "sk_live_hush"}),
                 "--stripe-key-file");
  EXPECT_THAT(err_, Not(HasSubstr("sk_live_hush")));
  expect_refused(run(kSingle, {"--topic", "t", "--stripe-key=sk_live_hush"}), "TALLY_STRIPE_KEY");
  EXPECT_THAT(err_, Not(HasSubstr("sk_live_hush")));
  const std::string path = file("a.conf", "topic = t\nstripe-key = sk_live_hush\n");
  expect_refused(run(kSingle, {"--config", path}), ":2");
  EXPECT_THAT(err_, Not(HasSubstr("sk_live_hush")));
}

TEST_F(ConfigTest, SecretsComeFromEnvironmentOrAFileOfTheirOwn) {
  const std::string secret = file("key", "sk_from_file\n");
  const Parsed by_flag = run(kSingle, {"--topic", "t", "--stripe-key-file", secret});
  EXPECT_EQ(by_flag.settings->text("stripe-key"), "sk_from_file");
  const std::string path = file("a.conf", "topic = t\nstripe-key-file = " + secret + "\n");
  EXPECT_EQ(run(kSingle, {"--config", path}).settings->text("stripe-key"), "sk_from_file");
  set("TALLY_STRIPE_KEY", "sk_from_env");
  EXPECT_EQ(run(kSingle, {"--config", path}).settings->text("stripe-key"), "sk_from_env");
}

TEST_F(ConfigTest, SecretFileMustBeReadableAndHoldOneLine) {
  expect_refused(run(kSingle, {"--topic", "t", "--stripe-key-file", "/nowhere/key"}),
                 "/nowhere/key");
  const std::string two = file("two", "a\nb\n");
  expect_refused(run(kSingle, {"--topic", "t", "--stripe-key-file", two}), "one line");
}

TEST_F(ConfigTest, FileErrorsNameTheLine) {
  const std::string unknown = file("u.conf", "topic = t\n\nnonsense = 1\n");
  expect_refused(run(kSingle, {"--config", unknown}),
                 unknown + ":3: there is no setting \"nonsense\"");
  const std::string twice = file("d.conf", "topic = t\ntopic = u\n");
  expect_refused(run(kSingle, {"--config", twice}), twice + ":2");
  const std::string bare = file("b.conf", "topic\n");
  expect_refused(run(kSingle, {"--config", bare}), bare + ":1");
  expect_refused(run(kSingle, {"--config", "/nowhere/x.conf"}), "/nowhere/x.conf");
}

TEST_F(ConfigTest, SubCommandsHaveTheirOwnOptionsAndPositionals) {
  const Parsed parsed = run(kSeveral, {"publish", "--topic", "t", "-"});
  ASSERT_TRUE(parsed.settings) << err_;
  EXPECT_EQ(parsed.settings->command(), "publish");
  EXPECT_EQ(parsed.settings->text("FILE"), "-");
  expect_refused(run(kSeveral, {"publish", "--topic", "t"}), "FILE is missing");
  expect_refused(run(kSeveral, {"show", "--topic", "t"}), "--topic");
  expect_refused(run(kSeveral, {"publsh"}), "no command \"publsh\"; there are publish, show");
  expect_refused(run(kSeveral, {}), "name a command: publish, show");
}

TEST_F(ConfigTest, OneFileServesAllCommands) {
  const std::string path = file("a.conf", "only-other = 1\ntopic = t\n");
  EXPECT_TRUE(run(kSeveral, {"publish", "--config", path, "x"}).settings) << err_;
}

TEST_F(ConfigTest, UnknownFlagsAreRefused) {
  expect_refused(run(kSingle, {"--topic", "t", "--topics", "u"}), "--topics");
}

TEST_F(ConfigTest, HelpAndVersionEndWithZero) {
  const Parsed help = run(kSeveral, {"publish", "--help"});
  EXPECT_FALSE(help.settings);
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(out_, HasSubstr("TALLY_COMMIT_INTERVAL_MS, 10 to 60000, default 1000"));
  EXPECT_THAT(out_, HasSubstr("--stripe-key-file PATH"));
  EXPECT_EQ(run(kSeveral, {"--help"}).exit_code, 0);
  EXPECT_THAT(out_, HasSubstr("Shows things."));
  EXPECT_EQ(run(kSingle, {"--version"}).exit_code, 0);
  EXPECT_EQ(out_, "prog 0.1.0\n");
}

TEST_F(ConfigTest, MarkdownTableListsEveryOption) {
  run(kSeveral, {"--print-settings-markdown"});
  EXPECT_THAT(out_, HasSubstr("| `--commit-interval-ms` | `TALLY_COMMIT_INTERVAL_MS` | 10 to 60000 "
                              "| `1000` | Pause between commits. |"));
  EXPECT_THAT(out_, HasSubstr("### prog show"));
}

TEST_F(ConfigTest, AskingForAnUndeclaredNameIsABug) {
  const Parsed parsed = run(kSingle, {"--topic", "t"});
  EXPECT_DEATH((void)parsed.settings->text("topik"), "no setting topik");
}

}  // namespace
}  // namespace tally::runtime::config
