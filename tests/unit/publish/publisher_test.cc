// Publishing against librdkafka's own mock cluster.
#include "producer/publish/publisher.h"
#include "producer/publish/csv_recipe.h"
#include "producer/publish/mapping.h"
#include "producer/publish/state_file.h"
#include "tests/unit/publish/forbidden.h"
#include "tests/unit/publish/scratch.h"
#include "tests/unit/publish/steps.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::publish {
namespace {

using Problems = std::vector<std::pair<std::uint64_t, std::string>>;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string event(const std::string& id) {
  return R"({"specversion":"1.0","id":")" + id +
         R"(","source":"/s","type":"t","subject":"tenant","data":{"n":1}})";
}

PublishOptions options_to(Problems& problems) {
  PublishOptions options;
  options.kafka = {{"bootstrap.servers", "mock"}, {"test.mock.num.brokers", "1"}};
  options.on_refused = [&problems](std::uint64_t line, const std::string& problem) {
    problems.emplace_back(line, problem);
  };
  return options;
}

using File = std::unique_ptr<std::FILE, FileCloser>;

File file_of(const std::string& text) {
  File file(std::tmpfile());
  std::fwrite(text.data(), 1, text.size(), file.get());
  std::fflush(file.get());
  std::rewind(file.get());
  return file;
}

PublishAccount publish(const std::string& text, const PublishOptions& options) {
  const File file = file_of(text);
  Input input(fileno(file.get()));
  NdjsonRecipe recipe;
  auto account = publish_records(input, recipe, options);
  EXPECT_TRUE(account) << account.error().message;
  return account ? account.value() : PublishAccount{};
}

TEST(Publisher, DeliversEachLineAndAccountsForIt) {
  Problems problems;
  std::string text;
  for (int i = 0; i < 300; ++i) text += event("id-" + std::to_string(i)) + "\n";
  const PublishAccount account = publish(text, options_to(problems));
  EXPECT_EQ(account.lines, 300U);
  EXPECT_EQ(account.delivered, 300U);
  EXPECT_EQ(account.delivered_bytes, text.size() - 300);
  EXPECT_TRUE(account.whole());
  EXPECT_TRUE(problems.empty());
}

TEST(Publisher, NamesABadLineAndGoesOn) {
  Problems problems;
  const std::string text = event("a") + "\r\n\n" + "not json\n" + event("") + "\n" +
                           std::string(1'100'000, 'x') + "\n" + event("b");
  const PublishAccount account = publish(text, options_to(problems));
  EXPECT_EQ(account.lines, 5U);
  EXPECT_EQ(account.blank_lines, 1U);
  EXPECT_EQ(account.delivered, 2U);
  EXPECT_EQ(account.refused, 3U);
  EXPECT_FALSE(account.whole());
  EXPECT_FALSE(account.stopped_before_line);
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_EQ(problems[0].first, 3U);
  EXPECT_EQ(problems[1].first, 4U);
  EXPECT_NE(problems[1].second.find("id"), std::string::npos) << problems[1].second;
  EXPECT_EQ(problems[2].first, 5U);
  EXPECT_NE(problems[2].second.find("1048576"), std::string::npos) << problems[2].second;
}

TEST(Publisher, StopsAtABadLineWhenStrict) {
  Problems problems;
  PublishOptions options = options_to(problems);
  options.on_bad_record = OnBadRecord::kStop;
  const PublishAccount account = publish(event("a") + "\nbad\n" + event("b") + "\n", options);
  EXPECT_EQ(account.lines, 2U);
  EXPECT_EQ(account.delivered, 1U);
  EXPECT_EQ(account.stopped_before_line, 3U);
}

TEST(Publisher, DrainsWhenStoppedAndSaysWhereToGoOn) {
  Problems problems;
  PublishOptions options = options_to(problems);
  options.stopping = [] { return true; };
  std::string text;
  for (int i = 0; i < 1'000; ++i) text += event("id-" + std::to_string(i)) + "\n";
  const PublishAccount account = publish(text, options);
  EXPECT_GT(account.lines, 0U);
  EXPECT_EQ(account.delivered, account.lines);
  ASSERT_TRUE(account.stopped_before_line);
  EXPECT_EQ(*account.stopped_before_line, account.lines + 1);
  EXPECT_FALSE(account.whole());
}

TEST(Publisher, CountsWhatNoBrokerTookAsFailed) {
  Problems problems;
  PublishOptions options = options_to(problems);
  options.kafka = {{"bootstrap.servers", "127.0.0.1:9"}};
  options.drain_timeout = std::chrono::milliseconds(10);
  const PublishAccount account = publish(event("a") + "\n" + event("b") + "\n", options);
  EXPECT_EQ(account.lines, 2U);
  EXPECT_EQ(account.failed, 2U);
  EXPECT_EQ(account.failed_by_reason.at("_PURGE_QUEUE"), 2U);
  EXPECT_EQ(account.delivered, 0U);
}

TEST(Publisher, AStateStaysBeforeWhatFailed) {
  const Scratch scratch;
  scratch.write("events", event("a") + "\n" + event("b") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.state_file = scratch.path("state");
  const auto publish_file = [&] {
    Input input(scratch.path("events"));
    NdjsonRecipe recipe;
    const auto account = publish_records(input, recipe, options);
    EXPECT_TRUE(account) << account.error().message;
    return account ? account.value() : PublishAccount{};
  };
  const auto mock = std::exchange(options.kafka, {{"bootstrap.servers", "127.0.0.1:9"}});
  options.drain_timeout = std::chrono::milliseconds(10);
  EXPECT_EQ(publish_file().failed, 2U);
  options.kafka = mock;
  options.drain_timeout = std::chrono::seconds(60);
  const PublishAccount again = publish_file();
  EXPECT_EQ(again.resumed_at_line, 1U);
  EXPECT_EQ(again.delivered, 2U);
  scratch.append("events", event("c") + "\nbad\n");
  options.on_bad_record = OnBadRecord::kStop;
  const PublishAccount more = publish_file();
  EXPECT_EQ(more.resumed_at_line, 3U);
  EXPECT_EQ(more.delivered, 1U);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].first, 4U);
  // Where it stopped it goes on, once the line is mended.
  const PublishAccount stuck = publish_file();
  EXPECT_EQ(stuck.resumed_at_line, 4U);
  EXPECT_EQ(stuck.refused, 1U);
}

// Run by cron, what a rotated file got after the run that had left it was seen by nobody.
TEST(Publisher, WhatALeftFileGetsAfterTheRunIsToldByTheNext) {
  const Scratch scratch;
  scratch.write("log", event("a") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.state_file = scratch.path("state");
  options.last_line = LastLine::kIsLeft;
  std::vector<std::string> told;
  options.on_trouble = [&](const std::string& sentence) { told.push_back(sentence); };
  const auto run = [&] {
    Input input(scratch.path("log"), Follow{.grace = kAtOnce.grace, .to_end = true});
    NdjsonRecipe recipe;
    const auto account = publish_records(input, recipe, options);
    EXPECT_TRUE(account) << account.error().message;
    return account ? account.value() : PublishAccount{};
  };
  EXPECT_TRUE(run().whole());
  scratch.rename("log", "log.1");
  scratch.give_birth("log", event("b") + "\n");
  EXPECT_TRUE(run().whole());
  EXPECT_TRUE(told.empty());
  scratch.append("log.1", "late\n");
  const PublishAccount late = run();
  EXPECT_EQ(late.late_bytes, 5U);
  EXPECT_FALSE(late.whole());
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("/log.1, which was rotated away, was written to after it was left"),
            std::string::npos)
      << told[0];
  // Once; and what comes later again.
  EXPECT_TRUE(run().whole());
  scratch.append("log.1", "later\n");
  EXPECT_EQ(run().late_bytes, 6U);
}

// It ended with exit code 0, and had read nothing of the new log.
TEST_F(Forbidden, WhatCouldNotBeOpenedByTheEndIsCounted) {
  for (const bool has_state : {false, true}) {
    scratch.write("log", event("a") + "\n");
    Problems problems;
    PublishOptions options = options_to(problems);
    if (has_state) options.state_file = scratch.path("state");
    std::vector<std::string> told;
    options.on_trouble = [&](const std::string& sentence) { told.push_back(sentence); };
    int asked = 0;
    options.stopping = [&] {
      if (++asked == 1) rotate_to_what_is_forbidden();
      return asked == 6;
    };
    Input input(scratch.path("log"), kAtOnce);
    NdjsonRecipe recipe;
    const auto account = publish_records(input, recipe, options);
    become(me_);
    ASSERT_TRUE(account) << account.error().message;
    EXPECT_EQ(account.value().delivered, 1U);
    EXPECT_EQ(account.value().late_bytes, has_state ? 0U : 4U);
    EXPECT_EQ(account.value().whole(), has_state);
    ASSERT_EQ(told.size(), has_state ? 2U : 1U);
    EXPECT_NE(told[0].find("/log cannot be opened: "), std::string::npos) << told[0];
    EXPECT_EQ(told.back().find("4 bytes are left to the next run") == 0, has_state) << told.back();
    std::filesystem::remove(scratch.path("log"));
    std::filesystem::remove(scratch.path("log.1"));
  }
}

TEST(PublishAccount, ALineThatWasLeftIsNotWhole) {
  PublishAccount account;
  account.left_bytes = 12;
  EXPECT_FALSE(account.whole());
  EXPECT_NE(to_table(account).find("its 12 bytes were left"), std::string::npos);
}

TEST(PublishAccount, SaysWhereItWentOnAndThatNothingCame) {
  PublishAccount account;
  account.resumed_at_line = 7;
  EXPECT_EQ(to_table(account).substr(0, 39), "went on at line                       7");
  EXPECT_NE(to_table(account).find("; nothing new\n"), std::string::npos);
}

TEST(PublishAccount, LateBytesAreNotWhole) {
  PublishAccount account;
  account.late_bytes = 12;
  EXPECT_FALSE(account.whole());
  EXPECT_NE(to_table(account).find("12 bytes of files that were rotated away or emptied"),
            std::string::npos);
}

// An empty file in a row of rotated ones ended the reading for good.
TEST(Publisher, AnEmptyRotatedCsvFileIsPassedOver) {
  const Scratch scratch;
  scratch.write("usage.csv", "id,n\na,1\n");
  auto mapping = parse_mapping(
      R"({"id":"id","time":{"constant":"2026-11-21T08:00:00Z"},"subject":{"constant":"acme"},)"
      R"("type":{"constant":"t"},"source":{"constant":"/s"},"data":{"n":"n"}})");
  ASSERT_TRUE(mapping) << mapping.error().message;
  CsvRecipe recipe(std::move(mapping.value()), ',');
  Problems problems;
  PublishOptions options = options_to(problems);
  options.csv_delimiter = ',';
  int waits = 0;
  options.stopping = [&] {
    ++waits;
    if (waits == 1) {
      scratch.rename("usage.csv", "usage.csv.1");
      scratch.give_birth("usage.csv", "");
    }
    if (waits == 3) {
      scratch.rename("usage.csv", "usage.csv.2");
      scratch.give_birth("usage.csv", "n,id\n2,b\n");
    }
    return waits == 7;
  };
  Input input(scratch.path("usage.csv"), Follow{std::chrono::milliseconds(0)});
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(account.value().delivered, 2U);
  EXPECT_EQ(account.value().refused, 0U);
}

// A quiet tail said nothing while no broker took events, nor why they failed.
TEST(Publisher, AStandstillIsToldWithKafkasReason) {
  const Scratch scratch;
  scratch.write("events", event("a") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.kafka = {{"bootstrap.servers", "127.0.0.1:9"}};
  options.drain_timeout = std::chrono::milliseconds(10);
  options.standstill = std::chrono::milliseconds(0);
  std::vector<std::string> told;
  options.on_trouble = [&](const std::string& sentence) { told.push_back(sentence); };
  int asked = 0;
  options.stopping = [&] { return ++asked == 5; };
  NdjsonRecipe recipe;
  Input input(scratch.path("events"), Follow{});
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].substr(0, 33), "no event was delivered for 0 s; K");
  EXPECT_EQ(account.value().failed, 1U);
  EXPECT_FALSE(account.value().kafka_problem.empty());
  EXPECT_NE(to_table(account.value()).find("\nKafka: "), std::string::npos);
}

TEST(Publisher, ThatEventsAreDeliveredAgainIsTold) {
  const Scratch scratch;
  scratch.write("events", event("a") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.kafka["linger.ms"] = "500";
  options.standstill = std::chrono::milliseconds(0);
  std::vector<std::string> told;
  options.on_trouble = [&](const std::string& sentence) { told.push_back(sentence); };
  int asked = 0;
  options.stopping = [&] {
    if (told.empty()) scratch.append("events", event(std::to_string(asked)) + "\n");
    return told.size() == 2 || ++asked == 300;
  };
  NdjsonRecipe recipe;
  Input input(scratch.path("events"), Follow{});
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1], "events are delivered again");
}

// While no broker takes events a file may come and go.
TEST(Publisher, WhatIsRotatedAwayWhileTheQueueIsFullIsHeld) {
  const Scratch scratch;
  scratch.write("log", event("a") + "\n" + event("b") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.kafka = {{"bootstrap.servers", "127.0.0.1:9"}, {"queue.buffering.max.messages", "1"}};
  options.drain_timeout = std::chrono::milliseconds(10);
  int asked = 0;  // each time after a wait of 50 ms
  options.stopping = [&] {
    ++asked;
    if (asked == 1) {
      scratch.rename("log", "log.1");
      scratch.give_birth("log", "two\n");
    }
    if (asked == 6) {
      std::filesystem::remove(scratch.path("log"));
      scratch.give_birth("log", "three\n");
    }
    return asked == 12;
  };
  NdjsonRecipe recipe;
  Input input(scratch.path("log"), kAtOnce);
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(account.value().stopped_before_line, 2U);
  RecordReader rest(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, rest, {[] {}, [] {}, [] {}, [] {}, [] {}}),
            (Lines{"<new file>", "1@0 two", "<new file>", "1@0 three"}));
}

// What was delivered before had no account.
TEST(Publisher, AStateThatAnotherRunHasIsRefused) {
  const Scratch scratch;
  scratch.write("events", event("a") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  options.state_file = scratch.path("state");
  NdjsonRecipe recipe;
  {
    const auto of_another = StateLock::take(options.state_file);
    ASSERT_TRUE(of_another);
    Input input(scratch.path("events"));
    const auto refused = publish_records(input, recipe, options);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("is in use by process"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(options.state_file));
  }
  Input input(scratch.path("events"));
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(account.value().delivered, 1U);
}

TEST(Publisher, AStateThatCannotBeWrittenIsToldWithTheAccount) {
  const Scratch scratch;
  scratch.write("events", event("a") + "\n" + event("b") + "\n");
  Problems problems;
  PublishOptions options = options_to(problems);
  NdjsonRecipe recipe;
  options.state_file = scratch.path("none/state");
  {
    Input input(scratch.path("events"));
    const auto refused = publish_records(input, recipe, options);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("cannot be written"), std::string::npos);
  }
  std::filesystem::create_directory(scratch.path("folder"));
  options.state_file = scratch.path("folder/state");
  // Asked each time the file's end is waited at.
  int asked = 0;
  options.stopping = [&] {
    if (++asked > 1) return true;
    std::filesystem::remove_all(scratch.path("folder"));
    scratch.append("events", event("c") + "\n");
    return false;
  };
  Input input(scratch.path("events"), Follow{});
  const auto account = publish_records(input, recipe, options);
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(account.value().delivered, 3U);
  EXPECT_FALSE(account.value().whole());
  EXPECT_NE(account.value().broken_by.find("cannot be written"), std::string::npos);
  EXPECT_NE(to_table(account.value()).find("broken off: the state "), std::string::npos);
  EXPECT_NE(to_json(account.value()).find(R"("broken_by":"the state )"), std::string::npos);
}

// The line that waited for room was read, and in no class of the account: the program aborted.
TEST(Publisher, AStateThatCannotBeWrittenWhileTheQueueIsFullIsToldWithTheAccount) {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 500; ++i) text += event("id-" + std::to_string(i)) + "\n";
  scratch.write("events", text);
  std::filesystem::create_directory(scratch.path("folder"));
  Problems problems;
  PublishOptions options = options_to(problems);
  options.kafka["queue.buffering.max.messages"] = "1";
  options.state_file = scratch.path("folder/state");
  options.stopping = [&] {
    std::filesystem::remove_all(scratch.path("folder"));
    return false;
  };
  NdjsonRecipe recipe;
  Input input(scratch.path("events"));
  const auto published = publish_records(input, recipe, options);
  ASSERT_TRUE(published) << published.error().message;
  const PublishAccount& account = published.value();
  EXPECT_NE(account.broken_by.find("cannot be written"), std::string::npos);
  EXPECT_LT(account.lines, 500U);
  EXPECT_EQ(account.delivered, account.lines);
  // The record at hand was not sent: it is the next.
  EXPECT_EQ(account.stopped_before_line, account.lines + 1);
}

// Kafka's client may end without a word of some: that was taken for a bug, and aborted.
TEST(PublishAccount, WhatNobodyToldTheEndOfHasFailed) {
  PublishAccount account;
  account.lines = 3;
  account.delivered = 1;
  count_untold(account, 0);
  EXPECT_TRUE(account.failed_by_reason.empty());
  count_untold(account, 2);
  EXPECT_EQ(account.failed, 2U);
  EXPECT_NE(to_json(account).find(R"("failed_by_reason":{"UNKNOWN":2})"), std::string::npos);
}

TEST(PublishAccount, PrintsAsJson) {
  PublishAccount account;
  account.lines = 3;
  account.delivered = 1;
  account.refused = 1;
  account.failed = 1;
  account.failed_by_reason["_MSG_TIMED_OUT"] = 1;
  const std::string json = to_json(account);
  EXPECT_NE(json.find(R"("lines":3,"delivered":1,"refused":1,"failed":1)"), std::string::npos);
  EXPECT_NE(json.find(R"("failed_by_reason":{"_MSG_TIMED_OUT":1})"), std::string::npos);
  EXPECT_NE(to_table(account).find("2 of 3 lines were not delivered"), std::string::npos);
}

}  // namespace
}  // namespace tally::producer::publish
