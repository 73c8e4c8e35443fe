// The end of a client: callbacks that record again, sinks that tell nothing, waits without an end.
#include "producer/usage_client.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace tally::producer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20'000};
// Of a callback that records again: the bug never ends, the test does.
constexpr std::uint64_t kEnough = 20'000;

UsageEvent event(std::string_view id = "") {
  return {.id = id, .type = "api.request", .tenant = "tenant_1", .data = R"({"n":1})"};
}

// Records another event for each that ends, as a service does that will not lose one.
struct Again {
  UsageClient* client = nullptr;
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> closed{0};
  std::string reason;  // of the last refusal; the callbacks'

  void record() {
    const Receipt receipt = client->record(event());
    if (receipt) ++accepted;
    if (receipt.recorded != Recorded::kClosed) return;
    ++closed;
    reason = receipt.reason;
  }
  void on_outcome() {
    if (++ended < kEnough) record();
  }
};

UsageClientOptions options_of(Again& again) {
  UsageClientOptions options;
  options.source = "/gateway";
  options.drain_deadline = milliseconds(0);
  options.on_outcome = [&again](const Outcome&) { again.on_outcome(); };
  return options;
}

// What it tells lies on the heap, so that a look at one that is gone is seen.
class FakeSpool final : public SpoolView {
 public:
  SpoolAccount account() const override { return {.spooled = 7, .problem = problem_}; }
  void drain(milliseconds) override {}

 private:
  std::string problem_ = "the test's spool has no broker and never had one";
};

MakeSink fake_spooled(Script& script) {
  return [&script](EventSink::OnOutcome on_outcome) {
    auto made = fake(script)(std::move(on_outcome));
    made.value().spool = std::make_unique<FakeSpool>();
    return made;
  };
}

// Looks at the spool's account whenever an event ends, and records another.
struct Looker {
  Again again;
  std::uint64_t told = 0;  // the callbacks'
  std::uint64_t looks = 0;

  explicit Looker(Script& script) {
    UsageClientOptions options = options_of(again);
    options.on_outcome = [this](const Outcome&) { look(); };
    client = std::move(open_client(options, fake_spooled(script)).client);
    again.client = client.get();
  }
  void look() {
    const auto account = again.client->spool_account();
    ++looks;
    told += account && account->spooled == 7 && !account->problem.empty() ? 1 : 0;
    again.on_outcome();
  }
  std::unique_ptr<UsageClient> client;  // last: it calls back into what stands above
};

void expect_refused_at_the_end(const Again& again) {
  EXPECT_EQ(again.ended, again.accepted);
  EXPECT_GE(again.closed, 1U);
  EXPECT_LT(again.ended, kEnough);
  EXPECT_NE(again.reason.find("ending"), std::string::npos) << again.reason;
}

// A callback for what was given up recorded it again, into the queue that was being given up.
TEST(Shutdown, WhatIsGivenUpIsNotRecordedAgain) {
  Script script;
  script.set_answer(Offered::kFull);
  Again again;
  auto client = std::move(open_client(options_of(again), fake(script)).client);
  again.client = client.get();
  for (int i = 0; i < 3; ++i) again.record();
  script.wait_for_offers(1);
  client.reset();
  expect_refused_at_the_end(again);
}

// A callback of the sink's end recorded into a queue that nobody emptied any more.
TEST(Shutdown, WhatTheSinksEndLosesIsNotRecordedAgain) {
  Script script;
  script.set_ends(Script::Ends::kWithTheSink);
  Again again;
  auto client = std::move(open_client(options_of(again), fake(script)).client);
  again.client = client.get();
  for (int i = 0; i < 3; ++i) again.record();
  script.wait_for_taken(3);
  client.reset();
  expect_refused_at_the_end(again);
}

TEST(Shutdown, ACallbackThatAlwaysRecordsMeetsTheEndAnywhere) {
  for (int round = 0; round < 50; ++round) {
    Script script;
    Again again;
    auto client = std::move(open_client(options_of(again), fake(script)).client);
    again.client = client.get();
    for (int i = 0; i < 4; ++i) again.record();
    script.wait_for_taken(static_cast<std::size_t>(4 + round));
    client.reset();
    EXPECT_EQ(again.ended, again.accepted);
  }
}

// The spool's account was gone before the last callbacks, which looked at it while it went.
TEST(Shutdown, TheLastCallbackStillSeesTheSpoolsAccount) {
  Script script;
  script.set_ends(Script::Ends::kWithTheSink);
  Looker looker(script);
  for (int i = 0; i < 3; ++i) looker.again.record();
  script.wait_for_taken(3);
  looker.client.reset();
  EXPECT_EQ(looker.looks, 3U);
  EXPECT_EQ(looker.told, 3U);
}

TEST(Shutdown, ACallbackThatLooksAtTheSpoolMeetsTheEndAnywhere) {
  for (int round = 0; round < 50; ++round) {
    Script script;
    Looker looker(script);
    for (int i = 0; i < 4; ++i) looker.again.record();
    script.wait_for_taken(static_cast<std::size_t>(4 + round));
    looker.client.reset();
    EXPECT_EQ(looker.told, looker.looks);
  }
}

// An end that never comes aborted the service that the client is part of.
TEST(Shutdown, ASinkThatTellsNoEndIsNotedAndTheServiceGoesOn) {
  Script script;
  script.set_ends(Script::Ends::kNever);
  UsageClientOptions options;
  options.source = "/gateway";
  options.drain_deadline = milliseconds(0);
  auto client = std::move(open_client(options, fake(script)).client);
  ASSERT_TRUE(client->record(event()));
  ASSERT_TRUE(client->record(event()));
  script.wait_for_taken(2);
  testing::internal::CaptureStderr();
  client.reset();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("usage_events_without_an_end"), std::string::npos) << said;
  EXPECT_NE(said.find('2'), std::string::npos) << said;
}

TEST(Shutdown, NothingIsNotedWhereEveryEventEnded) {
  Script script;
  script.set_ends(Script::Ends::kWithTheSink);
  Again again;
  auto client = std::move(open_client(options_of(again), fake(script)).client);
  again.client = client.get();
  again.record();
  script.wait_for_taken(1);
  testing::internal::CaptureStderr();
  client.reset();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// The deadline overflowed and had passed long ago.
TEST(Shutdown, TheLongestDeadlineIsForEver) {
  Script script;
  script.set_ends(Script::Ends::kWhenTold);
  UsageClientOptions options;
  options.source = "/gateway";
  options.max_outstanding_events = 1;
  options.drain_deadline = milliseconds::max();
  auto client = std::move(open_client(options, fake(script)).client);
  ASSERT_TRUE(client->record(event()));
  auto room = std::async(std::launch::async, [&] { client->wait_for_room(milliseconds::max()); });
  auto flushed = std::async(std::launch::async, [&] { return client->flush(milliseconds::max()); });
  EXPECT_EQ(room.wait_for(milliseconds(50)), std::future_status::timeout);
  EXPECT_EQ(flushed.wait_for(milliseconds(0)), std::future_status::timeout);
  script.end(1);
  ASSERT_EQ(room.wait_for(kLong), std::future_status::ready);
  ASSERT_EQ(flushed.wait_for(kLong), std::future_status::ready);
  EXPECT_EQ(flushed.get(), 0U);
  EXPECT_EQ(client->flush(milliseconds::min()), 0U);

  ASSERT_TRUE(client->record(event()));
  auto drained = std::async(std::launch::async, [&] { client.reset(); });
  EXPECT_EQ(drained.wait_for(milliseconds(50)), std::future_status::timeout);
  script.end(1);
  ASSERT_EQ(drained.wait_for(kLong), std::future_status::ready);
}

}  // namespace
}  // namespace tally::producer
