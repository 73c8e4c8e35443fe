// The relay against a scripted broker: what it refuses, forgets or delays, and how it dies.
#include "tests/unit/spool/relay_rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer::spool {
namespace {

TEST_F(RelayTest, SendsEverythingInOrderOnceAndRemovesTheSegments) {
  keep(0, 1'000);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  keep(1'000, 1'100);
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(broker_.taken(), names(0, 1'100));
  EXPECT_EQ(broker_.value("id-7"), event(7, 100).second);
  EXPECT_EQ(running->counts().delivered, 1'100U);
  EXPECT_EQ(spool_->store().figures().waiting_records, 0U);
  EXPECT_EQ(spool_->store().figures().waiting_bytes, 0U);
}

TEST_F(RelayTest, GoesBackToTheFirstWithoutAnAck) {
  keep(0, 500);
  std::atomic<int> batches{0};
  broker_.judge = [&](const auto&) -> std::string {
    return ++batches % 3 == 0 ? "_MSG_TIMED_OUT" : "";
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  auto taken = broker_.taken();
  // None twice: what was acked before the failure is not sent again.
  EXPECT_EQ(taken.size(), 500U);
  std::sort(taken.begin(), taken.end());
  auto all = names(0, 500);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(taken, all);
  EXPECT_GT(running->counts().sent_again, 0U);
  EXPECT_FALSE(running->problem());
}

TEST_F(RelayTest, ARecordThatIsRefusedAloneIsSetAsideAndTheRestGoesOn) {
  keep(0, 600);
  const std::set<std::string> bad = {"id-3", "id-4", "id-411"};
  broker_.judge = [&](const std::vector<std::string>& keys) -> std::string {
    const bool has_bad =
        std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return bad.contains(key); });
    return has_bad ? "MSG_SIZE_TOO_LARGE" : "";
  };
  const auto running = relay(512);
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().delivered, 597U);
  EXPECT_EQ(running->counts().refused, 3U);
  auto taken = broker_.taken();
  EXPECT_EQ(once(taken).size(), taken.size());
  const std::string refused = disk_.files().at("refused.ndjson");
  EXPECT_EQ(std::count(refused.begin(), refused.end(), '\n'), 3);
  EXPECT_NE(refused.find(R"("reason":"MSG_SIZE_TOO_LARGE","sequence":411,"key":"id-411")"),
            std::string::npos)
      << refused;
}

TEST_F(RelayTest, TooLargeForTheClientIsSetAside) {
  keep(0, 10);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-5" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().delivered, 9U);
  EXPECT_EQ(running->counts().refused, 1U);
}

// What cannot be set aside was once dropped, and counted as refused.
TEST_F(RelayTest, WhatCannotBeSetAsideHoldsUpWhatComesAfterItAndIsNotLost) {
  keep(0, 100);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-5" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  for (const char* call : {"create", "sync", "write", "sync folder"}) {
    broken_.insert(call);
  }
  break_calls(Trouble::kFull);
  const auto running = relay();
  await([&] { return running->counts().delivered == 5; });
  await_problem(*running, "cannot be set aside");
  EXPECT_FALSE(running->drain(milliseconds(20)));
  EXPECT_EQ(running->counts().refused, 0U);
  EXPECT_EQ(broker_.taken(), names(0, 5));
  for (const char* call : {"create", "write", "sync folder", "sync"}) {
    const std::scoped_lock lock(broken_mutex_);
    broken_.erase(call);
  }
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_EQ(running->counts().delivered, 99U);
  EXPECT_NE(refused().find(R"("key":"id-5")"), std::string::npos);
  EXPECT_FALSE(running->problem());
}

TEST_F(RelayTest, WhatIsRefusedAloneAndCannotBeSetAsideIsTriedAgain) {
  keep(0, 50);
  broker_.judge = [](const std::vector<std::string>& keys) -> std::string {
    return std::find(keys.begin(), keys.end(), "id-7") == keys.end() ? "" : "INVALID_RECORD";
  };
  broken_.insert("create");
  break_calls(Trouble::kBroken);
  const auto running = relay();
  await_problem(*running, "cannot be set aside");
  EXPECT_EQ(running->counts().refused, 0U);
  {
    const std::scoped_lock lock(broken_mutex_);
    broken_.clear();
  }
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_EQ(running->counts().delivered, 49U);
}

TEST_F(RelayTest, ARefusedFileAtItsBoundSaysWhatToDo) {
  keep(0, 10);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-5" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  const std::string name(RefusedFile::kName);
  disk_.put(name, std::string(core::kMaxSpoolRefusedBytes, '\n'));
  const auto running = relay();
  await_problem(*running, "move the file elsewhere");
  EXPECT_EQ(running->counts().refused, 0U);
  disk_.erase(name);
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_EQ(running->counts().delivered, 9U);
  EXPECT_NE(refused().find(R"("key":"id-5")"), std::string::npos);
}

// The position must not pass a record that a power cut takes from the file it was set aside in.
TEST_F(RelayTest, WhatWasSetAsideStandsAfterAPowerCut) {
  keep(0, 10);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-9" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  {
    const auto running = relay();
    ASSERT_TRUE(running->drain(kLong));
    kill();
  }
  spool_.reset();
  disk_.restart(MemoryDisk::End::kPower);
  EXPECT_NE(refused().find(R"("key":"id-9")"), std::string::npos);
}

// It was 0 until something had been acked.
TEST_F(RelayTest, TheOldestThatWaitsIsToldInAnOutage) {
  restart();
  {
    auto rig = Rig::open(disk_, {1'000'000, 20'000});
    ASSERT_TRUE(rig);
    for (int i = 0; i < 40; ++i) {
      const auto at_ms = static_cast<std::uint64_t>(5'000 + i);
      ASSERT_EQ(rig.value()->append({event(i)}, at_ms).records, 1U);
    }
  }
  open_spool();
  std::atomic<int> end{0};
  broker_.judge = [&](const std::vector<std::string>& keys) -> std::string {
    const bool is_taken = std::all_of(
        keys.begin(), keys.end(), [&](const auto& key) { return std::stoi(key.substr(3)) < end; });
    return is_taken ? "" : "_TRANSPORT";
  };
  const auto running = relay();
  await([&] { return running->counts().sent_again > 0; });
  EXPECT_EQ(running->counts().oldest_ms, 5'000U);
  end = 20;
  await([&] { return running->counts().delivered == 20; });
  EXPECT_EQ(running->counts().oldest_ms, 5'020U);
  end = 40;
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().oldest_ms, 0U);
}

TEST_F(RelayTest, AFatalErrorMeansANewProducer) {
  keep(0, 300);
  std::atomic<int> offers{0};
  broker_.at_the_door = [&](const std::string&) {
    return ++offers % 90 == 0 ? Enqueued::kFatal : Enqueued::kQueued;
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(once(broker_.taken()), names(0, 300));
  EXPECT_GT(broker_.opened(), 2U);
}

// Kafka's client, closed, waits for its last call backs for a bounded time: the relay then waited
// for them for ever.
TEST_F(RelayTest, AProducerThatEndsWithoutTellingHoldsUpNothing) {
  keep(0, 300);
  broker_.forgets_at_its_end = true;
  std::atomic<int> offers{0};
  broker_.at_the_door = [&](const std::string&) {
    return ++offers % 90 == 0 ? Enqueued::kFatal : Enqueued::kQueued;
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(once(broker_.taken()), names(0, 300));
  EXPECT_EQ(running->counts().delivered, 300U);
  EXPECT_GT(broker_.opened(), 2U);
}

TEST_F(RelayTest, WhatWasNotAckedIsSentByTheNextProcess) {
  keep(0, 200);
  std::atomic<int> batches{0};
  broker_.judge = [&](const auto&) -> std::string { return ++batches <= 7 ? "" : "_TRANSPORT"; };
  {
    const auto running = relay();
    while (running->counts().delivered < 70) std::this_thread::yield();
    kill();
  }
  restart();
  open_spool();
  batches = -1'000;
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(once(broker_.taken()), names(0, 200));
}

TEST_F(RelayTest, LossInTheMiddleIsCountedAndPassed) {
  keep(0, 500);
  kill();
  restart();
  std::string bytes = disk_.files().at(segment_name(2));
  bytes[200] = static_cast<char>(~bytes[200]);
  disk_.put(segment_name(2), bytes);
  open_spool();
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, 1U);
  EXPECT_EQ(running->counts().torn, 0U);
  EXPECT_EQ(running->counts().delivered, 499U);
}

TEST_F(RelayTest, APositionThatCannotBeStoredKeepsTheSegments) {
  keep(0, 500);
  const auto before = disk_.files().size();
  disk_.fail_when([](std::string_view call) -> std::optional<Trouble> {
    return call == "sync" ? std::optional(Trouble::kBroken) : std::nullopt;
  });
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(disk_.files().size(), before);
  EXPECT_EQ(running->counts().delivered, 500U);
}

}  // namespace
}  // namespace tally::producer::spool
