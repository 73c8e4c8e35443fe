// Records that are damaged or gone while the relay has others in flight: what the broker acked is
// delivered, what it never got is lost, and no later record inherits the end of one before it.
#include "producer/spool/position_file.h"
#include "tests/unit/spool/relay_rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <vector>

namespace tally::producer::spool {
namespace {

class RelayDamageTest : public RelayTest {
 protected:
  // The first `batches` batches of 10 fail, and while the first does, [from, to) is damaged. All
  // that is read before lies in memory: 40 records are offered to the broker before any has ended.
  void fail_and_damage(int batches, std::uint64_t from, std::uint64_t to) {
    broker_.judge = [this, batches, from, to, seen = 0](const auto&) mutable -> std::string {
      if (seen == 0) damage(from, to);
      return seen++ < batches ? "_MSG_TIMED_OUT" : "";
    };
  }
  // The first sequence of a segment.
  std::uint64_t first_of(std::uint64_t number) {
    SegmentHeader header;
    std::uint32_t version = 0;
    EXPECT_EQ(decode(disk_.files().at(segment_name(number)), header, version), Look::kGood);
    return header.first_sequence;
  }
  std::set<std::string> taken() {
    const auto keys = broker_.taken();
    EXPECT_EQ(once(keys).size(), keys.size()) << "sent again after its ack";
    return {keys.begin(), keys.end()};
  }
};

// The gap began at a record that was acked: a CHECK ended the service.
TEST_F(RelayDamageTest, WhatWasAckedBeforeItWasDamagedIsDelivered) {
  keep(0, 200);
  fail_and_damage(1, 15, 16);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(taken().size(), 200U);
  EXPECT_EQ(running->counts().lost, 0U);
  expect_account(running->counts(), 200);
}

// Slots of acked records within a gap kept their state, and records one lap of the ring later were
// called delivered without having been sent.
TEST_F(RelayDamageTest, NothingBehindAGapInheritsAnAck) {
  keep(0, 400);
  fail_and_damage(2, 12, 35);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  const auto arrived = taken();
  for (const std::string& key : names(0, 400)) {
    const bool is_gone = key >= "id-12" && key <= "id-19" && key.size() == 5;
    EXPECT_EQ(arrived.contains(key), !is_gone) << key;
  }
  EXPECT_EQ(running->counts().lost, 8U);
  expect_account(running->counts(), 400);
}

TEST_F(RelayDamageTest, AGapLongerThanWhatIsInFlight) {
  keep(0, 600);
  fail_and_damage(2, 12, 300);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  // 20 to 39 were acked before.
  EXPECT_EQ(running->counts().lost, 288U - 20U);
  EXPECT_EQ(taken().size(), 600U - 268U);
  expect_account(running->counts(), 600);
}

TEST_F(RelayDamageTest, WhatWasSetAsideBeforeItWasDamagedIsRefused) {
  keep(0, 200);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-25" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  fail_and_damage(1, 20, 30);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_EQ(running->counts().lost, 0U);
  EXPECT_EQ(taken().size(), 199U);
  expect_account(running->counts(), 200);
}

// Nothing of it was counted until another event came: the relay's thread used a core, and drain()
// never ended.
TEST_F(RelayDamageTest, TheNewestSegmentGoneWhenTheSpoolIsOpenedIsLost) {
  keep(0, 200);
  spool_->store().store_position();  // it knows of 200
  std::uint64_t newest = 0;
  for (const auto& [name, bytes] : disk_.files()) {
    newest = std::max(newest, segment_number(name).value_or(0));
  }
  const std::uint64_t left = first_of(newest);
  ASSERT_GT(left, 0U);
  ASSERT_LT(left, 200U);
  restart();
  disk_.erase(segment_name(newest));
  open_spool();
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().delivered, left);
  EXPECT_EQ(running->counts().lost, 200 - left);
  expect_account(running->counts(), 200);
}

// The position was stored only when the broker acked: so in an outage nobody missed what was kept
// in it and was gone with its segment.
TEST_F(RelayDamageTest, WhatIsKeptInAnOutageAndGoneIsLost) {
  broker_.batch_records = 0;  // it is away
  keep(0, 100);
  auto running = relay();
  keep(100, 200);
  const auto known = [&] {
    return PositionFile::load(*disk_.folder()).value().value_or(PositionSlot()).position.kept;
  };
  await([&] { return known() == 200; });
  std::string newest;
  for (const auto& [name, bytes] : disk_.files()) {
    if (segment_number(name)) newest = std::max(newest, name);
  }
  kill();
  running.reset();
  restart();
  disk_.put(newest, disk_.files().at(newest).substr(0, 1'000));
  broker_.batch_records = 10;
  open_spool();
  running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_GT(running->counts().lost, 0U);
  expect_account(running->counts(), 200);
}

// Refused alone, and gone when it was to be set aside: a CHECK ended the service.
TEST_F(RelayDamageTest, ARefusedRecordThatCannotBeReadAgainIsLost) {
  keep(0, 200);
  broker_.judge = [this](const std::vector<std::string>& keys) -> std::string {
    if (std::find(keys.begin(), keys.end(), "id-3") == keys.end()) return "";
    if (keys.size() == 1) damage(3, 4);
    return "INVALID_RECORD";
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, 1U);
  EXPECT_EQ(running->counts().refused, 0U);
  EXPECT_EQ(taken().size(), 199U);
  EXPECT_FALSE(disk_.files().contains(std::string(RefusedFile::kName)));
  expect_account(running->counts(), 200);
}

TEST_F(RelayDamageTest, AGapBehindARefusedRecordInFlight) {
  keep(0, 200);
  damage(37, 39);
  broker_.judge = [](const std::vector<std::string>& keys) -> std::string {
    return std::find(keys.begin(), keys.end(), "id-33") == keys.end() ? "" : "INVALID_RECORD";
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, 2U);
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_EQ(taken().size(), 197U);
  expect_account(running->counts(), 200);
}

// A spool on which somebody removed a segment was stuck until its process was started again.
TEST_F(RelayDamageTest, ASegmentThatSomebodyRemovedIsCountedAsLost) {
  keep(0, 500);
  const std::uint64_t first = first_of(2);
  const std::uint64_t behind = first_of(3);
  disk_.erase(segment_name(2));
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, behind - first);
  EXPECT_EQ(taken().size(), 500U - (behind - first));
  expect_account(running->counts(), 500);
  // Its room is given back, and so is that of those after it.
  await([&] { return spool_->store().figures().disk_bytes < 30'000; });
  keep(500, 510);
  ASSERT_TRUE(running->drain(kLong));
}

TEST_F(RelayDamageTest, TheNewestSegmentAndThePositionAreRemoved) {
  keep(0, 10);
  disk_.erase(segment_name(1));
  disk_.erase(std::string(PositionFile::kName));
  // Written into the file without a name, noticed, and written anew.
  keep(10, 20);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, 10U);
  EXPECT_EQ(broker_.taken(), names(10, 20));
  await([&] { return disk_.files().contains(std::string(PositionFile::kName)); });
  expect_account(running->counts(), 20);
}

TEST_F(RelayDamageTest, ABadSectorCostsWhatLiesInItAfterSomeTries) {
  keep(0, 500);
  disk_.make_unreadable(segment_name(2), 9'000, 9'001);
  read_tries_ = 5;
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  // A block of 4 KiB, in records of about 145 bytes.
  EXPECT_GT(running->counts().lost, 26U);
  EXPECT_LT(running->counts().lost, 32U);
  EXPECT_EQ(taken().size(), 500U - running->counts().lost);
  expect_account(running->counts(), 500);
}

TEST_F(RelayDamageTest, NothingIsGivenUpOnADiskThatTakesNoWrites) {
  keep(0, 100);
  read_tries_ = 5;
  broken_ = {"read", "write", "open"};
  break_calls(Trouble::kBroken);
  const auto running = relay();
  await_problem(*running, "fails");
  EXPECT_FALSE(running->drain(milliseconds(100)));
  EXPECT_EQ(running->counts().lost, 0U);
  EXPECT_GT(running->counts().oldest_ms, 0U);
  {
    const std::scoped_lock lock(broken_mutex_);
    broken_.clear();
  }
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(taken().size(), 100U);
  EXPECT_EQ(running->counts().lost, 0U);
}

// Reads that fail now and then: all is tried again, and nothing that was kept is called lost.
TEST_F(RelayDamageTest, AReadThatFailsLosesNothing) {
  keep(0, 2'000);
  std::atomic<int> calls{0};
  disk_.fail_when([&](std::string_view call) -> std::optional<Trouble> {
    const bool looks = call == "read" || call == "open" || call == "size" || call == "names";
    return looks && ++calls % 3 != 0 ? std::optional(Trouble::kBroken) : std::nullopt;
  });
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_GT(calls, 30);
  EXPECT_EQ(running->counts().lost, 0U);
  EXPECT_EQ(taken().size(), 2'000U);
}

// A hole in the last write before a crash: never called kept, so it is not called lost.
TEST_F(RelayDamageTest, ATornHoleIsNotCalledLost) {
  keep(0, 1);
  std::vector<Event> write;
  for (int i = 1; i < 30; ++i) write.push_back(event(i, 100));
  restart();
  {
    auto rig = Rig::open(disk_, {1'000'000, 20'000});
    ASSERT_TRUE(rig);
    ASSERT_EQ(rig.value()->append(write).records, write.size());
    kill();
  }
  disk_.restart(MemoryDisk::End::kKill);
  std::string bytes = disk_.files().at(segment_name(2));
  bytes.replace(400, 10, 10, '\xff');
  disk_.put(segment_name(2), bytes);
  open_spool();
  fail_and_damage(1, 1'000, 1'000);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().torn, 1U);
  EXPECT_EQ(running->counts().lost, 0U);
  expect_account(running->counts(), 30);
}

}  // namespace
}  // namespace tally::producer::spool
