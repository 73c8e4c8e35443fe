#include "producer/usage_client.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

core::UsageEvent event(std::string id = "") {
  return {.id = std::move(id),
          .source = "/gateway",
          .type = "api.request",
          .subject = "tenant_1",
          .time = {},
          .data = R"({"n":1})"};
}

UsageClientOptions mock() {
  UsageClientOptions options;
  options.brokers = "mock";
  options.kafka = {{"test.mock.num.brokers", "1"}};
  return options;
}

UsageClientOptions nobody() {
  UsageClientOptions options;
  options.brokers = "127.0.0.1:9";
  options.drain_deadline = milliseconds(0);
  return options;
}

TEST(UsageClient, DeliversFromManyThreadsAndBalances) {
  std::mutex mutex;
  std::multiset<std::string> ended;
  UsageClientOptions options = mock();
  options.on_outcome = [&](const Outcome& outcome) {
    const std::scoped_lock lock(mutex);
    EXPECT_TRUE(outcome.delivered) << outcome.reason;
    EXPECT_EQ(outcome.tag, 7U);
    ended.emplace(outcome.id);
  };
  auto client = UsageClient::open(options);
  ASSERT_TRUE(client) << client.error().message;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 100; ++i) {
        const auto receipt =
            client.value()->record(event(std::to_string(thread) + "-" + std::to_string(i)), 7);
        EXPECT_EQ(receipt.recorded, Recorded::kAccepted) << receipt.reason;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(client.value()->flush(milliseconds(20'000)), 0U);
  const UsageCounts counts = client.value()->counts();
  EXPECT_EQ(counts.accepted, 400U);
  EXPECT_EQ(counts.delivered, 400U);
  EXPECT_EQ(counts.outstanding(), 0U);
  const std::scoped_lock lock(mutex);
  EXPECT_EQ(std::set<std::string>(ended.begin(), ended.end()).size(), 400U);
  EXPECT_EQ(ended.size(), 400U);
}

TEST(UsageClient, MakesAnIdWhenThereIsNone) {
  auto client = UsageClient::open(mock());
  ASSERT_TRUE(client);
  const auto first = client.value()->record(event());
  const auto second = client.value()->record(event());
  EXPECT_EQ(first.recorded, Recorded::kAccepted);
  EXPECT_EQ(first.id.size(), 36U);
  EXPECT_NE(first.id, second.id);
}

TEST(UsageClient, RefusesAnInvalidEventAndNamesTheField) {
  auto client = UsageClient::open(mock());
  ASSERT_TRUE(client);
  core::UsageEvent wrong = event("id");
  wrong.subject.clear();
  const auto receipt = client.value()->record(wrong);
  EXPECT_EQ(receipt.recorded, Recorded::kInvalid);
  EXPECT_NE(receipt.reason.find("subject"), std::string::npos) << receipt.reason;
  EXPECT_EQ(client.value()->counts().refused, 1U);
  EXPECT_EQ(client.value()->counts().accepted, 0U);
}

TEST(UsageClient, DropsAndCountsBeyondTheBoundOfEvents) {
  UsageClientOptions options = nobody();
  options.max_queued_events = 5;
  auto client = UsageClient::open(options);
  ASSERT_TRUE(client);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(client.value()->record(event()).recorded, Recorded::kAccepted);
  }
  EXPECT_EQ(client.value()->record(event()).recorded, Recorded::kQueueFull);
  EXPECT_EQ(client.value()->record(event()).recorded, Recorded::kQueueFull);
  EXPECT_EQ(client.value()->flush(milliseconds(10)), 5U);
  const UsageCounts counts = client.value()->counts();
  EXPECT_EQ(counts.accepted, 5U);
  EXPECT_EQ(counts.dropped_full, 2U);
  EXPECT_EQ(counts.outstanding(), 5U);
}

TEST(UsageClient, DropsBeyondTheBoundOfBytes) {
  UsageClientOptions options = nobody();
  options.max_queued_bytes = 1'000;
  auto client = UsageClient::open(options);
  ASSERT_TRUE(client);
  core::UsageEvent big = event();
  big.data = R"({"note":")" + std::string(2'000, 'x') + R"("})";
  EXPECT_EQ(client.value()->record(big).recorded, Recorded::kQueueFull);
  EXPECT_EQ(client.value()->record(event()).recorded, Recorded::kAccepted);
}

TEST(UsageClient, ItsEndCallsBackForWhatItGivesUp) {
  std::vector<std::string> reasons;
  UsageClientOptions options = nobody();
  options.on_outcome = [&](const Outcome& outcome) {
    EXPECT_FALSE(outcome.delivered);
    reasons.emplace_back(outcome.reason);
  };
  auto client = UsageClient::open(options);
  ASSERT_TRUE(client);
  for (int i = 0; i < 3; ++i) static_cast<void>(client.value()->record(event()));
  client.value().reset();
  EXPECT_EQ(reasons, std::vector<std::string>(3, "_PURGE_QUEUE"));
}

TEST(UsageClient, RefusesAcksBelowAll) {
  UsageClientOptions options = mock();
  options.kafka["acks"] = "1";
  const auto client = UsageClient::open(options);
  ASSERT_FALSE(client);
  EXPECT_NE(client.error().message.find("acks=1"), std::string::npos);
}

}  // namespace
}  // namespace tally::producer
