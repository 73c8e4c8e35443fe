// The client over a sink that the test holds in its hand. No Kafka: ThreadSanitizer runs it too.
#include "producer/usage_client.h"

#include "core/usage_event.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20'000};

UsageEvent event(std::string_view id = "") {
  return {.id = id, .type = "api.request", .tenant = "tenant_1", .data = R"({"n":1})"};
}

UsageClientOptions quick() {
  UsageClientOptions options;
  options.source = "/gateway";
  options.drain_deadline = milliseconds(0);
  return options;
}

std::unique_ptr<UsageClient> opened(Script& script, UsageClientOptions options = quick()) {
  Opened result = open_client(std::move(options), fake(script));
  EXPECT_EQ(result.problem, "");
  return std::move(result.client);
}

TEST(UsageClient, TheCommonFormIsAWholeEvent) {
  Script script;
  auto client = opened(script);
  const Receipt receipt = client->record(
      "llm.completion", "tenant_1",
      {{"tokens", 812}, {"model", "x"}, {"cost", Decimal{"0.10"}}, {"ok", true}}, {.id = "r-1"});
  ASSERT_TRUE(receipt) << receipt.reason;
  EXPECT_EQ(receipt.new_id(), "");
  ASSERT_EQ(client->flush(kLong), 0U);
  const auto taken = script.taken();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].key, "r-1");
  const auto read = core::parse_structured(taken[0].value);
  ASSERT_TRUE(read) << read.error().message << " in " << taken[0].value;
  EXPECT_EQ(read.value().id, "r-1");
  EXPECT_EQ(read.value().source, "/gateway");
  EXPECT_EQ(read.value().type, "llm.completion");
  EXPECT_EQ(read.value().subject, "tenant_1");
  EXPECT_TRUE(read.value().time.has_value());
  EXPECT_EQ(read.value().data, R"({"tokens":812,"model":"x","cost":0.10,"ok":true})");
}

TEST(UsageClient, StampsItsStreamAndEachPlaceInIt) {
  Script script;
  auto client = opened(script);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client->record(event()));
  ASSERT_EQ(client->flush(kLong), 0U);
  const auto taken = script.taken();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(client->stream_id().size(), 32U);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const std::string stamp = ",\"tallystream\":\"" + std::string(client->stream_id()) +
                              "\",\"tallyseq\":\"" + std::to_string(i + 1) + "\"}";
    EXPECT_TRUE(taken[i].value.ends_with(stamp)) << taken[i].value;
  }
  Script other_script;
  EXPECT_NE(opened(other_script)->stream_id(), client->stream_id());
}

TEST(UsageClient, WhatWasNotAcceptedLeavesNoGapInTheStream) {
  Script script;
  UsageClientOptions options = quick();
  options.max_outstanding_events = 1;
  auto client = opened(script, options);
  script.set_ends(Script::Ends::kWhenTold);
  ASSERT_TRUE(client->record(event("a")));
  EXPECT_EQ(client->record(event("b")).recorded, Recorded::kQueueFull);
  script.end(1);
  ASSERT_EQ(client->flush(kLong), 0U);
  script.set_ends(Script::Ends::kAtOnce);
  ASSERT_TRUE(client->record(event("c")));
  ASSERT_EQ(client->flush(kLong), 0U);
  EXPECT_NE(script.taken().at(1).value.find("\"tallyseq\":\"2\""), std::string::npos);
}

TEST(UsageClient, ALostEventLeavesAGapInTheStream) {
  Script script;
  auto client = opened(script);
  script.set_answer(Offered::kTooLarge);
  ASSERT_TRUE(client->record(event()));
  ASSERT_EQ(client->flush(kLong), 0U);
  script.set_answer(Offered::kAccepted);
  ASSERT_TRUE(client->record(event()));
  ASSERT_EQ(client->flush(kLong), 0U);
  EXPECT_NE(script.taken().at(0).value.find("\"tallyseq\":\"2\""), std::string::npos);
  EXPECT_EQ(client->counts().failed_by_reason.at("too_large"), 1U);
}

TEST(UsageClient, MakesAnIdWhenThereIsNone) {
  Script script;
  auto client = opened(script);
  const Receipt first = client->record(event());
  const Receipt second = client->record(event());
  EXPECT_EQ(first.new_id().size(), 36U);
  EXPECT_NE(first.new_id(), second.new_id());
  ASSERT_EQ(client->flush(kLong), 0U);
  EXPECT_EQ(script.taken().at(0).key, first.new_id());
}

TEST(UsageClient, ManyThreadsBalanceAndKeepTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5'000;
  std::mutex mutex;
  std::multiset<std::uint64_t> tags;
  Script script;
  UsageClientOptions options = quick();
  options.queue_bytes = 256 * 1024;  // full and wrapped many times
  options.on_outcome = [&](const Outcome& outcome) {
    const std::scoped_lock lock(mutex);
    EXPECT_TRUE(outcome.kept);
    tags.insert(outcome.tag);
  };
  auto client = opened(script, options);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        const std::string note(static_cast<std::size_t>(i) * 7 % 900, 'x');
        const auto tag = static_cast<std::uint64_t>(thread * kEach + i);
        const auto record = [&] {
          return client->record("t", "tenant", {{"note", note}, {"i", i}},
                                {.id = std::to_string(tag), .tag = tag});
        };
        while (!record()) client->wait_for_room(kLong);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(client->flush(kLong), 0U);
  const UsageCounts counts = client->counts();
  EXPECT_EQ(counts.accepted, static_cast<std::uint64_t>(kThreads * kEach));
  EXPECT_EQ(counts.delivered, counts.accepted);
  EXPECT_EQ(std::set<std::uint64_t>(tags.begin(), tags.end()).size(), counts.accepted);
  EXPECT_EQ(tags.size(), counts.accepted);
  std::vector<int> last(kThreads, -1);
  for (const Taken& taken : script.taken()) {
    ASSERT_TRUE(core::parse_structured(taken.value)) << taken.value;
    const int number = std::stoi(taken.key);
    EXPECT_GT(number % kEach, last[static_cast<std::size_t>(number / kEach)]);
    last[static_cast<std::size_t>(number / kEach)] = number % kEach;
  }
}

TEST(UsageClient, DropsAndCountsBeyondTheBoundOfEvents) {
  Script script;
  UsageClientOptions options = quick();
  options.max_outstanding_events = 5;
  auto client = opened(script, options);
  script.set_ends(Script::Ends::kWithTheSink);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->record(event()));
  const Receipt full = client->record(event());
  EXPECT_EQ(full.recorded, Recorded::kQueueFull);
  EXPECT_NE(full.reason.find("max_outstanding_events"), std::string::npos);
  EXPECT_EQ(client->flush(milliseconds(10)), 5U);
  const UsageCounts counts = client->counts();
  EXPECT_EQ(counts.accepted, 5U);
  EXPECT_EQ(counts.dropped_full, 1U);
  EXPECT_EQ(counts.outstanding(), 5U);
}

// What the bound turned away was counted as accepted for a moment, and then taken back.
TEST(UsageClient, AcceptedNeverGoesDown) {
  Script script;
  UsageClientOptions options = quick();
  options.max_outstanding_events = 1;
  auto client = opened(script, options);
  script.set_ends(Script::Ends::kWithTheSink);
  ASSERT_TRUE(client->record(event()));
  std::atomic<bool> enough{false};
  std::thread recorder([&] {
    for (int i = 0; i < 300'000; ++i) static_cast<void>(client->record(event("x")));
    enough = true;
  });
  std::uint64_t most = 0;
  while (!enough) {
    most = std::max(most, client->counts().accepted);
  }
  recorder.join();
  EXPECT_EQ(most, 1U);
  EXPECT_EQ(client->counts().accepted, 1U);
}

TEST(UsageClient, AStuckSinkFillsTheQueueAndNobodyWaits) {
  Script script;
  UsageClientOptions options = quick();
  options.queue_bytes = 256 * 1024;
  auto client = opened(script, options);
  script.set_answer(Offered::kFull);
  std::uint64_t accepted = 0;
  while (client->record(event())) ++accepted;
  EXPECT_GT(accepted, 500U);
  EXPECT_EQ(client->counts().dropped_full, 1U);
  script.wait_for_offers(3);  // it was really refused
  // The sink has room again: all that was accepted goes on, in its order.
  script.set_answer(Offered::kAccepted);
  ASSERT_EQ(client->flush(kLong), 0U);
  EXPECT_EQ(script.taken().size(), accepted);
  EXPECT_EQ(client->counts().delivered, accepted);
  EXPECT_TRUE(client->record(event()));
}

TEST(UsageClient, ItsEndGivesUpWhatAStuckSinkDidNotTake) {
  Script script;
  std::vector<std::string> lost;
  UsageClientOptions options = quick();
  options.on_loss = [&](const Outcome& outcome) {
    // The sink does not say; what it never took is nowhere.
    EXPECT_EQ(outcome.may_be_kept, outcome.id == "taken");
    lost.push_back(std::string(outcome.id) + " " + std::string(outcome.reason));
  };
  auto client = opened(script, options);
  script.set_ends(Script::Ends::kWithTheSink);
  ASSERT_TRUE(client->record(event("taken")));
  script.wait_for_taken(1);
  script.set_answer(Offered::kFull);
  ASSERT_TRUE(client->record(event("stuck")));
  ASSERT_TRUE(client->record(event("behind")));
  script.wait_for_offers(3);
  client.reset();
  EXPECT_EQ(lost,
            (std::vector<std::string>{"stuck gave_up", "behind gave_up", "taken sink_ended"}));
}

TEST(UsageClient, ItsEndDrainsFirst) {
  Script script;
  std::vector<std::string> kept;
  UsageClientOptions options = quick();
  options.drain_deadline = kLong;
  options.on_outcome = [&](const Outcome& outcome) {
    EXPECT_TRUE(outcome.kept);
    EXPECT_FALSE(outcome.may_be_kept);
    kept.emplace_back(outcome.id);
  };
  auto client = opened(script, options);
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(client->record(event(id)));
  client.reset();
  EXPECT_EQ(kept, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(UsageClient, ALossIsCountedByReasonAndCalledBack) {
  Script script;
  script.set_lost("disk_full");
  std::vector<std::string> calls;
  UsageClientOptions options = quick();
  options.level = Level::kMemory;
  options.on_outcome = [&](const Outcome&) { calls.emplace_back("outcome"); };
  options.on_loss = [&](const Outcome& outcome) {
    calls.push_back(std::string(outcome.reason) + " " + std::to_string(outcome.tag));
  };
  auto client = opened(script, options);
  UsageEvent one = event("a");
  one.tag = 77;
  ASSERT_TRUE(client->record(one));
  ASSERT_EQ(client->flush(kLong), 0U);
  // Level kMemory: nothing but the loss.
  EXPECT_EQ(calls, std::vector<std::string>{"disk_full 77"});
  const UsageCounts counts = client->counts();
  EXPECT_EQ(counts.failed, 1U);
  EXPECT_EQ(counts.failed_by_reason.at("disk_full"), 1U);
  EXPECT_EQ(counts.accepted, 1U);
  EXPECT_EQ(counts.outstanding(), 0U);
}

TEST(UsageClient, WhatASpoolKeepsIsSpooledAndNotDelivered) {
  Script script;
  UsageClientOptions options = quick();
  options.level = Level::kSpooled;
  auto client = opened(script, options);
  ASSERT_TRUE(client->record(event()));
  ASSERT_EQ(client->flush(kLong), 0U);
  EXPECT_EQ(client->counts().spooled, 1U);
  EXPECT_EQ(client->counts().delivered, 0U);
}

TEST(UsageClient, ASinkThatBrokeClosesTheClient) {
  Script script;
  script.set_answer(Offered::kClosed);
  auto client = opened(script);
  ASSERT_TRUE(client->record(event()));
  ASSERT_EQ(client->flush(kLong), 0U);
  const Receipt refused = client->record(event());
  EXPECT_EQ(refused.recorded, Recorded::kClosed);
  EXPECT_EQ(refused.reason, "the test closed it: open a new client");
  const UsageCounts counts = client->counts();
  EXPECT_EQ(counts.failed_by_reason.at("closed"), 1U);
  EXPECT_EQ(counts.closed, 1U);
}

TEST(UsageClient, WakesForAnEventAfterALongSilence) {
  Script script;
  auto client = opened(script);
  for (int i = 1; i <= 3; ++i) {
    // Longer than its naps: the handing thread sleeps until it is rung for.
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable().wait_for(lock, milliseconds(60));
    const auto started = std::chrono::steady_clock::now();
    ASSERT_TRUE(client->record(event()));
    script.wait_for_taken(static_cast<std::size_t>(i));
    EXPECT_LT(std::chrono::steady_clock::now() - started, milliseconds(500));
  }
}

}  // namespace
}  // namespace tally::producer
