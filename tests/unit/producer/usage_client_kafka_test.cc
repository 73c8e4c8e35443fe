// The client over librdkafka: its mock cluster, and a broker that is not there.
#include "producer/usage_client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

UsageEvent event(std::string_view id = "") {
  return {.id = id, .type = "api.request", .tenant = "tenant_1", .data = R"({"n":1})"};
}

UsageClientOptions mock() {
  UsageClientOptions options;
  options.brokers = "mock";
  options.source = "/gateway";
  options.kafka = {{"test.mock.num.brokers", "1"}};
  return options;
}

UsageClientOptions nobody() {
  UsageClientOptions options = mock();
  options.brokers = "127.0.0.1:9";
  options.kafka = {};
  options.drain_deadline = milliseconds(0);
  return options;
}

TEST(UsageClientOverKafka, DeliversAndBalances) {
  const Opened opened = UsageClient::open(mock());
  ASSERT_TRUE(opened.client) << opened.problem;
  for (int i = 0; i < 400; ++i) {
    const Receipt receipt = opened.client->record(event(std::to_string(i)));
    EXPECT_TRUE(receipt) << receipt.reason;
  }
  EXPECT_EQ(opened.client->flush(milliseconds(20'000)), 0U);
  const UsageCounts counts = opened.client->counts();
  EXPECT_EQ(counts.accepted, 400U);
  EXPECT_EQ(counts.delivered, 400U);
  EXPECT_EQ(counts.outstanding(), 0U);
}

TEST(UsageClientOverKafka, AFutureSaysThatTheBrokerHasIt) {
  const Opened opened = UsageClient::open(mock());
  ASSERT_TRUE(opened.client) << opened.problem;
  auto future = opened.client->record_future(event("a"));
  ASSERT_EQ(future.wait_for(milliseconds(20'000)), std::future_status::ready);
  const Ended ended = future.get();
  EXPECT_TRUE(ended.kept) << ended.reason;
  EXPECT_EQ(ended.id, "a");
}

TEST(UsageClientOverKafka, ItsEndCallsBackForWhatItGivesUp) {
  std::vector<std::string> reasons;
  UsageClientOptions options = nobody();
  options.on_loss = [&](const Outcome& outcome) {
    EXPECT_TRUE(outcome.may_be_kept);  // Kafka's client had it
    reasons.emplace_back(outcome.reason);
  };
  Opened opened = UsageClient::open(options);
  ASSERT_TRUE(opened.client) << opened.problem;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(opened.client->record(event()));
  static_cast<void>(opened.client->flush(milliseconds(100)));
  opened.client.reset();
  EXPECT_EQ(reasons, std::vector<std::string>(3, "_PURGE_QUEUE"));
}

// Each end records another event, until the client answers that it is ending. The chain itself is
// bounded, so that the test ends where the client does not.
void record_for_each_end(UsageClientOptions options) {
  constexpr int kEnough = 200'000;
  UsageClient* client = nullptr;
  std::atomic<int> accepted{0};
  std::atomic<int> ended{0};
  std::atomic<int> closed{0};
  options.drain_deadline = milliseconds(0);
  options.on_outcome = [&](const Outcome&) {
    if (++ended >= kEnough) return;
    const Receipt receipt = client->record(event());
    if (receipt) ++accepted;
    if (receipt.recorded == Recorded::kClosed) ++closed;
  };
  Opened opened = UsageClient::open(options);
  ASSERT_TRUE(opened.client) << opened.problem;
  client = opened.client.get();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client->record(event()));
    ++accepted;
  }
  static_cast<void>(client->flush(milliseconds(50)));
  opened.client.reset();
  EXPECT_EQ(ended, accepted);
  EXPECT_GE(closed, 1);
}

TEST(UsageClientOverKafka, ACallbackThatRecordsAgainMeetsTheEndAtLevelAcked) {
  record_for_each_end(mock());
  record_for_each_end(nobody());
}

TEST(UsageClientOverKafka, ACallbackThatRecordsAgainMeetsTheEndAtLevelSpooled) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("again." + std::to_string(::getpid()));
  UsageClientOptions options = nobody();
  options.level = Level::kSpooled;
  options.spool_directory = folder.string();
  record_for_each_end(options);
  std::filesystem::remove_all(folder);
}

// What one process spooled without a broker the next one delivers, and the account says so.
TEST(UsageClientOverKafka, TheSpoolsAccountShowsWhatWaitsAndWhoFoundIt) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("account." + std::to_string(::getpid()));
  UsageClientOptions options = nobody();
  options.level = Level::kSpooled;
  options.spool_directory = folder.string();
  {
    const Opened opened = UsageClient::open(options);
    ASSERT_TRUE(opened.client) << opened.problem;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(opened.client->record(event()));
    ASSERT_EQ(opened.client->flush(milliseconds(20'000)), 0U);
    EXPECT_EQ(opened.client->drain(milliseconds(1)), 3U);
    const auto account = opened.client->spool_account();
    ASSERT_TRUE(account);
    EXPECT_EQ(account->found, 0U);
    EXPECT_EQ(account->spooled, 3U);
    EXPECT_EQ(account->waiting, 3U);
    EXPECT_GT(account->disk_bytes, 0U);
  }
  options.brokers = "mock";
  options.kafka = mock().kafka;
  {
    const Opened opened = UsageClient::open(options);
    ASSERT_TRUE(opened.client) << opened.problem;
    ASSERT_TRUE(opened.client->record(event()));
    EXPECT_EQ(opened.client->drain(milliseconds(20'000)), 0U);
    const auto account = opened.client->spool_account();
    ASSERT_TRUE(account);
    EXPECT_EQ(account->found, 3U);
    EXPECT_EQ(account->spooled, 1U);
    EXPECT_EQ(account->delivered, 4U);
    EXPECT_EQ(account->waiting, 0U);
    EXPECT_EQ(account->problem, "");
  }
  const Opened acked = UsageClient::open(mock());
  ASSERT_TRUE(acked.client) << acked.problem;
  EXPECT_FALSE(acked.client->spool_account());
  std::filesystem::remove_all(folder);
}

// That nothing waits was told as "the broker has it", also of what it had refused.
TEST(UsageClientOverKafka, ADrainedSpoolMayHoldWhatWasRefused) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("refused." + std::to_string(::getpid()));
  UsageClientOptions options = nobody();
  options.level = Level::kSpooled;
  options.spool_directory = folder.string();
  const std::string large(5'000, 'x');
  {
    const Opened opened = UsageClient::open(options);
    ASSERT_TRUE(opened.client) << opened.problem;
    ASSERT_TRUE(opened.client->record("t", "tenant", {{"note", large}}, {.id = "the-large-one"}));
    ASSERT_EQ(opened.client->flush(milliseconds(20'000)), 0U);
  }
  options.brokers = "mock";
  options.kafka = mock().kafka;
  options.kafka["message.max.bytes"] = "2000";
  const Opened opened = UsageClient::open(options);
  ASSERT_TRUE(opened.client) << opened.problem;
  ASSERT_TRUE(opened.client->record(event("small")));
  EXPECT_EQ(opened.client->drain(milliseconds(20'000)), 0U);
  const auto account = opened.client->spool_account();
  ASSERT_TRUE(account);
  EXPECT_EQ(account->refused, 1U);
  EXPECT_EQ(account->delivered, 1U);
  EXPECT_EQ(account->waiting, 0U);
  std::ifstream refused(folder / "refused.ndjson");
  std::string line;
  ASSERT_TRUE(std::getline(refused, line));
  EXPECT_NE(line.find("the-large-one"), std::string::npos) << line;
  std::filesystem::remove_all(folder);
}

// What Kafka's client would not take was accepted, and lost.
TEST(UsageClientOverKafka, AnEventOverMessageMaxBytesIsRefusedAtOnce) {
  UsageClientOptions options = mock();
  options.kafka["message.max.bytes"] = "2000";
  const Opened opened = UsageClient::open(options);
  ASSERT_TRUE(opened.client) << opened.problem;
  const std::string large(1'900, 'x');
  const Receipt receipt = opened.client->record("t", "tenant", {{"note", large}});
  EXPECT_EQ(receipt.recorded, Recorded::kInvalid);
  EXPECT_NE(receipt.reason.find("message.max.bytes"), std::string::npos) << receipt.reason;
  const std::string small(1'000, 'x');
  EXPECT_TRUE(opened.client->record("t", "tenant", {{"note", small}}));
  EXPECT_EQ(opened.client->flush(milliseconds(20'000)), 0U);
  EXPECT_EQ(opened.client->counts().delivered, 1U);
}

TEST(UsageClientOverKafka, RefusesSettingsThatBreakThePromise) {
  UsageClientOptions options = mock();
  options.kafka["acks"] = "1";
  const Opened opened = UsageClient::open(options);
  ASSERT_FALSE(opened.client);
  EXPECT_NE(opened.problem.find("acks=1"), std::string::npos) << opened.problem;
}

}  // namespace
}  // namespace tally::producer
