// Futures and awaitables.
#include "producer/usage_client.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>

#include <coroutine>
#include <exception>
#include <future>
#include <string>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20'000};

UsageEvent event(std::string_view id) {
  return {.id = id, .type = "api.request", .tenant = "tenant_1", .data = "{}"};
}

std::unique_ptr<UsageClient> opened(Script& script, Level level = Level::kAcked) {
  UsageClientOptions options;
  options.source = "/gateway";
  options.level = level;
  options.drain_deadline = milliseconds(0);
  return std::move(open_client(options, fake(script)).client);
}

// A coroutine that begins at once and that nobody waits for.
struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Task await_one(UsageClient& client, std::string id, std::promise<Ended>& done) {
  done.set_value(co_await client.record_awaitable(event(id)));
}

Task await_two(UsageClient& client, std::promise<std::string>& done) {
  Pending first = client.record_awaitable("t", "tenant", {{"n", 1}}, {.id = "first"});
  Pending second = client.record_awaitable("t", "tenant", {{"n", 2}}, {.id = "second"});
  const Ended two = co_await std::move(second);
  const Ended one = co_await std::move(first);
  done.set_value(one.id + (one.kept ? " kept, " : " lost, ") + two.id +
                 (two.kept ? " kept" : " lost"));
}

TEST(Pending, AFutureIsReadyWhenTheEventHasEnded) {
  Script script;
  script.set_ends(Script::Ends::kWhenTold);
  auto client = opened(script);
  auto future = client->record_future("t", "tenant", {{"n", 1}}, {.id = "a"});
  script.wait_for_taken(1);
  EXPECT_EQ(future.wait_for(milliseconds(0)), std::future_status::timeout);
  script.end(1);
  ASSERT_EQ(future.wait_for(kLong), std::future_status::ready);
  const Ended ended = future.get();
  EXPECT_EQ(ended.recorded, Recorded::kAccepted);
  EXPECT_TRUE(ended.kept);
  EXPECT_EQ(ended.id, "a");
}

TEST(Pending, AFutureTellsWhatWasRefused) {
  Script script;
  auto client = opened(script);
  UsageEvent wrong = event("a");
  wrong.tenant = "";
  const Ended ended = client->record_future(wrong).get();
  EXPECT_EQ(ended.recorded, Recorded::kInvalid);
  EXPECT_FALSE(ended.kept);
  EXPECT_NE(ended.reason.find("tenant"), std::string::npos);
}

// A tag was taken and never came back.
TEST(Pending, ATagIsRefusedWhereTheEndComesAlone) {
  Script script;
  auto client = opened(script);
  UsageEvent tagged = event("a");
  tagged.tag = 7;
  const Ended ended = client->record_future(tagged).get();
  EXPECT_EQ(ended.recorded, Recorded::kInvalid);
  EXPECT_NE(ended.reason.find("tag"), std::string::npos) << ended.reason;
  const Pending pending = client->record_awaitable("t", "tenant", {{"n", 1}}, {.tag = 7});
  EXPECT_TRUE(pending.await_ready());
  EXPECT_EQ(client->counts().invalid, 2U);
  EXPECT_EQ(client->counts().accepted, 0U);
}

TEST(Pending, LevelMemoryHasNoEndsToTell) {
  Script script;
  auto client = opened(script, Level::kMemory);
  const Ended ended = client->record_future(event("a")).get();
  EXPECT_EQ(ended.recorded, Recorded::kInvalid);
  EXPECT_NE(ended.reason.find("kMemory"), std::string::npos) << ended.reason;
  EXPECT_EQ(client->counts().accepted, 0U);
}

TEST(Pending, ACoroutineGoesOnWithTheEnd) {
  Script script;
  script.set_ends(Script::Ends::kWhenTold);
  script.set_lost("disk_full");
  auto client = opened(script);
  std::promise<Ended> done;
  auto future = done.get_future();
  await_one(*client, "a", done);
  script.wait_for_taken(1);
  EXPECT_EQ(future.wait_for(milliseconds(0)), std::future_status::timeout);
  script.end(1);
  ASSERT_EQ(future.wait_for(kLong), std::future_status::ready);
  const Ended ended = future.get();
  EXPECT_FALSE(ended.kept);
  EXPECT_EQ(ended.reason, "disk_full");
  EXPECT_TRUE(ended.may_be_kept);
}

TEST(Pending, ACoroutineWithNothingToWaitForGoesOnAtOnce) {
  Script script;
  auto client = opened(script);
  std::promise<Ended> done;
  await_one(*client, std::string(257, 'x'), done);
  EXPECT_EQ(done.get_future().get().recorded, Recorded::kInvalid);
}

TEST(Pending, ManyCoroutinesMeetTheirEndsInARace) {
  Script script;
  auto client = opened(script);
  for (int i = 0; i < 2'000; ++i) {
    std::promise<std::string> done;
    auto future = done.get_future();
    await_two(*client, done);
    ASSERT_EQ(future.wait_for(kLong), std::future_status::ready);
    ASSERT_EQ(future.get(), "first kept, second kept");
  }
  EXPECT_EQ(client->flush(kLong), 0U);
}

TEST(Pending, MayBeDroppedBeforeItsEnd) {
  Script script;
  script.set_ends(Script::Ends::kWhenTold);
  auto client = opened(script);
  {
    const Pending dropped = client->record_awaitable(event("a"));
  }
  script.end(1);
  EXPECT_EQ(client->flush(kLong), 0U);
  EXPECT_EQ(client->counts().delivered, 1U);
}

// Under AddressSanitizer: nothing of them is left behind.
TEST(Pending, NeverAwaitedItGoesWithItsEndOrAfter) {
  Script script;
  auto client = opened(script);
  UsageEvent wrong = event("a");
  wrong.tenant = "";
  {
    const Pending ended = client->record_awaitable(event("a"));
    ASSERT_EQ(client->flush(kLong), 0U);
    const Pending refused = client->record_awaitable(wrong);
    EXPECT_TRUE(ended.await_ready());
    EXPECT_TRUE(refused.await_ready());
  }
  script.set_ends(Script::Ends::kWithTheSink);
  const Pending outlives = client->record_awaitable(event("b"));
  script.wait_for_taken(2);
  client.reset();
  EXPECT_TRUE(outlives.await_ready());
}

TEST(Pending, TheClientsEndEndsThemAll) {
  Script script;
  script.set_ends(Script::Ends::kWithTheSink);
  auto client = opened(script);
  auto future = client->record_future(event("a"));
  script.wait_for_taken(1);
  client.reset();
  EXPECT_EQ(future.get().reason, "sink_ended");
}

}  // namespace
}  // namespace tally::producer
