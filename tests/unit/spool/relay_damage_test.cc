// Records that are damaged or gone while the relay has others in flight: what the broker acked is
// delivered, what it never got is lost, and no later record inherits the end of one before it.
#include "tests/unit/spool/relay_rig.h"

#include <gtest/gtest.h>

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
