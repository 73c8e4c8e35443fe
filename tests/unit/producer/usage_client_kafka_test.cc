// The client over librdkafka: its mock cluster, and a broker that is not there.
#include "producer/usage_client.h"

#include <gtest/gtest.h>

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
  options.on_loss = [&](const Outcome& outcome) { reasons.emplace_back(outcome.reason); };
  Opened opened = UsageClient::open(options);
  ASSERT_TRUE(opened.client) << opened.problem;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(opened.client->record(event()));
  static_cast<void>(opened.client->flush(milliseconds(100)));
  opened.client.reset();
  EXPECT_EQ(reasons, std::vector<std::string>(3, "_PURGE_QUEUE"));
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
