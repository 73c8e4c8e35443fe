// Two owners of one partition, and a topic that grows.
#include "runtime/postgres/connection.h"
#include "tests/conformance/suite.h"

namespace tally::conformance {
namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::Deployment;
using aggregator::TotalsStore;
using core::PartitionId;

TEST_P(StoreConformance, AnOwnerStoppedInItsCommitIsWaitedForAndSeen) {
  auto& zombie = connect();
  auto& heir = connect();
  const auto deployment = open(zombie, 4);
  const auto state = acquire(zombie, 1, deployment);
  const auto entries = identities_of(1, 4, 2, 1);
  const BatchPlan plan = counting(deployment, *state, entries);
  CommitOutcome outcome = CommitOutcome::kFenced;
  zombie.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  ASSERT_EQ(zombie.run_to(StoreStep::kFenced), Halt::kAtStep);

  State inherited;
  heir.start([&](TotalsStore& store) { inherited = store.acquire(request(1, deployment)); });
  EXPECT_EQ(heir.finish(), Halt::kBlocked);
  finish(zombie);
  EXPECT_EQ(outcome, CommitOutcome::kCommitted);
  finish(heir);
  ASSERT_NE(inherited, nullptr);
  EXPECT_EQ(inherited->position, core::Offset(102));
  EXPECT_TRUE(remembers_all(*inherited, entries));
}

TEST_P(StoreConformance, PartitionsThatNobodyHasOwnedAreKnown) {
  auto& owner = connect();
  const auto never_owned = [&] {
    return run(owner, [](TotalsStore& store) { return store.never_owned(); });
  };
  auto deployment = open(owner, 3);
  EXPECT_EQ(never_owned(), 3);
  for (std::int32_t partition = 0; partition < 3; ++partition) {
    ASSERT_NE(acquire(owner, partition, deployment), nullptr);
    EXPECT_EQ(never_owned(), 2 - partition);
  }
  deployment = open(owner, 5);
  EXPECT_EQ(never_owned(), 2);
}

TEST_P(StoreConformance, AnOwnerThatWakesUpLateIsFenced) {
  auto& zombie = connect();
  auto& heir = connect();
  const auto deployment = open(zombie, 4);
  const auto state = acquire(zombie, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  CommitOutcome outcome = CommitOutcome::kCommitted;
  zombie.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  ASSERT_EQ(zombie.run_to(StoreStep::kBeforeCommit), Halt::kAtStep);

  const auto inherited = acquire(heir, 1, deployment);
  EXPECT_EQ(inherited->position, core::Offset(100));
  const StoredBook before = store().read();
  finish(zombie);
  EXPECT_EQ(outcome, CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
  EXPECT_EQ(commit(heir, counting(deployment, *inherited, identities_of(1, 4, 2, 1))),
            CommitOutcome::kCommitted);
}

TEST_P(StoreConformance, AnOwnerCutInItsCommitLeavesNothing) {
  auto& zombie = connect();
  auto& heir = connect();
  const auto deployment = open(zombie, 4);
  const auto state = acquire(zombie, 1, deployment);
  const auto entries = identities_of(1, 4, 2, 1);
  const BatchPlan plan = counting(deployment, *state, entries);
  zombie.start([&](TotalsStore& store) { store.commit(plan); });
  ASSERT_EQ(zombie.run_to(StoreStep::kInCommit), Halt::kAtStep);
  State inherited;
  heir.start([&](TotalsStore& store) { inherited = store.acquire(request(1, deployment)); });
  EXPECT_EQ(heir.finish(), Halt::kBlocked);
  zombie.cut();
  finish(heir);
  EXPECT_EQ(inherited->position, core::Offset(100));
  EXPECT_FALSE(remembers(*inherited, entries.front()));
}

TEST_P(StoreConformance, AnAcquisitionUnderWayHoldsTheOldOwnersCommit) {
  auto& zombie = connect();
  auto& heir = connect();
  const auto deployment = open(zombie, 4);
  const auto state = acquire(zombie, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  State inherited;
  heir.start([&](TotalsStore& store) { inherited = store.acquire(request(1, deployment)); });
  ASSERT_EQ(heir.run_to(StoreStep::kMemoryLoaded), Halt::kAtStep);
  CommitOutcome outcome = CommitOutcome::kCommitted;
  zombie.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  EXPECT_EQ(zombie.finish(), Halt::kBlocked);
  finish(heir);
  finish(zombie);
  EXPECT_EQ(outcome, CommitOutcome::kFenced);
}

TEST_P(StoreConformance, AnAcquisitionThatDiesLeavesTheOwnerInPlace) {
  auto& owner = connect();
  auto& other = connect();
  const auto deployment = open(owner, 4);
  const auto state = acquire(owner, 1, deployment);
  other.start([&](TotalsStore& store) { store.acquire(request(1, deployment)); });
  ASSERT_EQ(other.run_to(StoreStep::kMemoryListed), Halt::kAtStep);
  other.cut();
  EXPECT_EQ(commit(owner, counting(deployment, *state, identities_of(1, 4, 2, 1))),
            CommitOutcome::kCommitted);
}

// --- growth -------------------------------------------------------------------------------------

TEST_P(StoreConformance, StaleMetadataIsToldAndChangesNothing) {
  auto& connection = connect();
  auto& stale = connect();
  const auto before = open(connection, 4);
  ASSERT_NE(acquire(connection, 1, before), nullptr);
  const auto grown = open(connection, 6);
  EXPECT_EQ(grown.partitions, 6);
  EXPECT_GT(grown.generation, before.generation);
  const StoredBook book = store().read();
  EXPECT_EQ(book.states.at(PartitionId(1)).generation, grown.generation);

  const auto told = open(stale, 4);
  EXPECT_EQ(told.partitions, 6);
  EXPECT_EQ(told.generation, grown.generation);
  EXPECT_EQ(acquire(stale, 1, before), nullptr);
  EXPECT_EQ(acquire(stale, 3, before), nullptr);  // never owned: no row is born under the old one
  EXPECT_TRUE(store().read().same_content(book));

  const auto fresh = acquire(connection, 5, grown);
  ASSERT_NE(fresh, nullptr);
  EXPECT_EQ(fresh->generation, grown.generation);
}

TEST_P(StoreConformance, OpenWithTheSameCountChangesNothing) {
  auto& connection = connect();
  const auto first = open(connection, 4);
  const auto state = acquire(connection, 1, first);
  const StoredBook before = store().read();
  const auto again = open(connection, 4);
  EXPECT_EQ(again.generation, first.generation);
  EXPECT_EQ(again.identity_key, first.identity_key);
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, GrowthFencesPlansMadeBefore) {
  auto& owner = connect();
  auto& grower = connect();
  const auto deployment = open(owner, 4);
  const auto state = acquire(owner, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  CommitOutcome outcome = CommitOutcome::kCommitted;
  owner.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  ASSERT_EQ(owner.run_to(StoreStep::kBeforeCommit), Halt::kAtStep);
  const auto grown = open(grower, 6);
  const StoredBook before = store().read();
  finish(owner);
  EXPECT_EQ(outcome, CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
  EXPECT_EQ(resolve(owner, plan), aggregator::Resolution::kFenced);
}

TEST_P(StoreConformance, GrowthWaitsForACommitUnderWay) {
  auto& owner = connect();
  auto& grower = connect();
  const auto deployment = open(owner, 4);
  const auto first = acquire(owner, 0, deployment);
  const auto state = acquire(owner, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  const BatchPlan next = counting(deployment, *state, identities_of(1, 4, 2, 2));
  CommitOutcome outcome = CommitOutcome::kFenced;
  owner.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  ASSERT_EQ(owner.run_to(StoreStep::kInCommit), Halt::kAtStep);
  Deployment grown;
  grower.start([&](TotalsStore& store) { grown = store.open(asking(6)); });
  EXPECT_EQ(grower.finish(), Halt::kBlocked);
  finish(owner);
  EXPECT_EQ(outcome, CommitOutcome::kCommitted);
  finish(grower);
  EXPECT_EQ(grown.partitions, 6);
  for (const auto& [partition, row] : store().read().states) {
    EXPECT_EQ(row.generation, grown.generation) << partition.value();
  }
  EXPECT_EQ(commit(owner, next), CommitOutcome::kFenced);
}

TEST_P(StoreConformance, ARowIsNotBornBesideAGrowth) {
  auto& grower = connect();
  auto& owner = connect();
  const auto deployment = open(owner, 4);
  grower.start([&](TotalsStore& store) { store.open(asking(6)); });
  ASSERT_EQ(grower.run_to(StoreStep::kGenerationRaised), Halt::kAtStep);
  State state;
  owner.start([&](TotalsStore& store) { state = store.acquire(request(2, deployment)); });
  EXPECT_EQ(owner.finish(), Halt::kBlocked);
  finish(grower);
  finish(owner);
  EXPECT_EQ(state, nullptr);
  EXPECT_FALSE(store().read().states.contains(PartitionId(2)));
}

TEST_P(StoreConformance, TwoWhoSeeTheSameGrowthRaiseOnce) {
  auto& one = connect();
  auto& two = connect();
  const auto deployment = open(one, 4);
  ASSERT_NE(acquire(one, 1, deployment), nullptr);
  one.start([&](TotalsStore& store) { store.open(asking(6)); });
  ASSERT_EQ(one.run_to(StoreStep::kGrowthLocked), Halt::kAtStep);
  Deployment second;
  two.start([&](TotalsStore& store) { second = store.open(asking(6)); });
  EXPECT_EQ(two.finish(), Halt::kBlocked);
  finish(one);
  finish(two);
  EXPECT_EQ(second.partitions, 6);
  EXPECT_EQ(second.generation.value(), deployment.generation.value() + 1);
  EXPECT_EQ(store().read().generation, second.generation);
}

// 4 -> 6 -> 12 partitions: whatever was claimed anywhere is remembered at its home of now, and
// nowhere else.
TEST_P(StoreConformance, StateIsFoundAtItsNewHome) {
  auto& connection = connect();
  std::vector<core::DedupEntry> claimed;
  std::uint64_t serial = 0;
  for (const std::int32_t partitions : {4, 6, 12}) {
    SCOPED_TRACE(partitions);
    const auto deployment = open(connection, partitions);
    ASSERT_EQ(deployment.partitions, partitions);
    std::vector<core::DedupEntry> added;
    for (std::int32_t partition = 0; partition < partitions; ++partition) {
      const auto state = acquire(connection, partition, deployment);
      ASSERT_NE(state, nullptr);
      std::size_t at_home = 0;
      for (const core::DedupEntry& entry : claimed) {
        const bool home = entry.home() % static_cast<std::uint32_t>(partitions) ==
                          static_cast<std::uint32_t>(partition);
        EXPECT_EQ(remembers(*state, entry), home) << partition;
        at_home += home ? 1 : 0;
      }
      EXPECT_EQ(state->memory.size(), at_home);
      const auto entries = identities_of(partition, partitions, 24, ++serial);
      ASSERT_EQ(commit(connection, counting(deployment, *state, entries)),
                CommitOutcome::kCommitted);
      ASSERT_EQ(
          commit(connection, counting(deployment, *state,
                                      identities_of(partition, partitions, 1, 1000 + serial))),
          CommitOutcome::kCommitted);
      if (partition % 2 == 0) {
        ASSERT_EQ(roll_up(connection, *state), aggregator::RollUp::kDone);
      }
      added.insert(added.end(), entries.begin(), entries.end());
      const auto more = identities_of(partition, partitions, 1, 1000 + serial);
      added.insert(added.end(), more.begin(), more.end());
    }
    claimed.insert(claimed.end(), added.begin(), added.end());
  }
}

// A partition whose clock is days behind another's from which it inherits.
TEST_P(StoreConformance, APartitionThatLagsStillKnowsWhatItNeeds) {
  auto& connection = connect();
  const auto before = open(connection, 2);
  const auto slow = acquire(connection, 0, before);
  const auto old_entries = identities_of(0, 2, 3, 1);
  ASSERT_EQ(commit(connection, counting(before, *slow, old_entries, kDay - 30)),
            CommitOutcome::kCommitted);
  const auto fast = acquire(connection, 1, before);
  const auto new_entries = identities_of(1, 2, 3, 2);
  ASSERT_EQ(commit(connection, counting(before, *fast, new_entries, kDay + 20)),
            CommitOutcome::kCommitted);

  const auto grown = open(connection, 3);  // coprime: every partition inherits from every other
  const auto heir = acquire(connection, 0, grown);
  ASSERT_NE(heir, nullptr);
  for (const auto& entry : old_entries) {
    EXPECT_EQ(remembers(*heir, entry, kDay - 20), entry.home() % 3 == 0);
  }
  for (const auto& entry : new_entries) {
    EXPECT_EQ(remembers(*heir, entry, kDay + 20), entry.home() % 3 == 0);
  }
}

}  // namespace
}  // namespace tally::conformance
