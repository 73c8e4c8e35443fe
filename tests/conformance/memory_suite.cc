// The stored dedup memory: rolled up while others load and commit, and dropped by days.
#include "core/check.h"
#include "core/limits.h"
#include "tests/conformance/suite.h"

#include <unistd.h>

#include <filesystem>

namespace tally::conformance {
namespace {

using aggregator::CommitOutcome;
using aggregator::RollUp;
using aggregator::TotalsStore;
using core::PartitionId;

// Three segments of a partition, each of two identities.
std::vector<core::DedupEntry> three_segments(
    const std::function<void(const std::vector<core::DedupEntry>&)>& commit_one,
    std::int32_t partition, std::int32_t partitions) {
  std::vector<core::DedupEntry> all;
  for (std::uint64_t serial = 1; serial <= 3; ++serial) {
    const auto entries = identities_of(partition, partitions, 12, serial);
    commit_one(entries);
    all.insert(all.end(), entries.begin(), entries.end());
  }
  return all;
}

TEST_P(StoreConformance, ARollUpChangesTheRowsAndNothingElse) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  EXPECT_EQ(roll_up(connection, *state), RollUp::kNothingToDo);
  const auto all = three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(connection, counting(deployment, *state, entries)),
                  CommitOutcome::kCommitted);
      },
      1, 4);
  const StoredBook before = store().read();
  EXPECT_EQ(before.small_segments, 3U);
  EXPECT_EQ(roll_up(connection, *state), RollUp::kDone);
  const StoredBook after = store().read();
  EXPECT_TRUE(after.same_content(before));
  EXPECT_EQ(after.small_segments, 0U);
  EXPECT_EQ(after.rolled_up, 1U);
  EXPECT_EQ(roll_up(connection, *state), RollUp::kNothingToDo);
  EXPECT_TRUE(remembers_all(*acquire(connection, 1, deployment), all));
}

// Partition 5 of 12 loads the same rows, but they are not its to roll up.
TEST_P(StoreConformance, AnOwnerIsToldHowManySegmentsWaitForARollUp) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  auto state = acquire(connection, 1, deployment);
  EXPECT_EQ(state->stored_segments, 0);
  three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(connection, counting(deployment, *state, entries)),
                  CommitOutcome::kCommitted);
      },
      1, 4);
  state = acquire(connection, 1, deployment);
  EXPECT_EQ(state->stored_segments, 3);
  EXPECT_EQ(acquire(connection, 2, deployment)->stored_segments, 0);
  ASSERT_EQ(roll_up(connection, *state), RollUp::kDone);
  state = acquire(connection, 1, deployment);
  EXPECT_EQ(state->stored_segments, 0);
  ASSERT_EQ(commit(connection, counting(deployment, *state, identities_of(1, 4, 2, 9))),
            CommitOutcome::kCommitted);
  const auto grown = open(connection, 12);
  EXPECT_EQ(acquire(connection, 1, grown)->stored_segments, 1);
  EXPECT_EQ(acquire(connection, 5, grown)->stored_segments, 0);
}

TEST_P(StoreConformance, ARollUpMixesNeitherDaysNorTopologies) {
  auto& connection = connect();
  std::uint64_t serial = 0;
  for (const std::int32_t partitions : {4, 8}) {
    const auto deployment = open(connection, partitions);
    const auto state = acquire(connection, 1, deployment);
    for (const LogDay day : {kDay, kDay + 1}) {
      for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(commit(connection,
                         counting(deployment, *state, identities_of(1, partitions, 4, ++serial),
                                  kDay + 1 + day - kDay)),
                  CommitOutcome::kCommitted);
      }
    }
  }
  const StoredBook before = store().read();
  const auto deployment = open(connection, 8);
  const auto state = acquire(connection, 1, deployment);
  EXPECT_EQ(roll_up(connection, *state), RollUp::kDone);
  const StoredBook after = store().read();
  EXPECT_EQ(after.identities, before.identities);
  EXPECT_EQ(after.small_segments, 0U);
  EXPECT_EQ(after.rolled_up, before.identities.size());
}

TEST_P(StoreConformance, ARollUpByAnOwnerOfThePastIsFenced) {
  auto& zombie = connect();
  auto& heir = connect();
  const auto deployment = open(zombie, 4);
  const auto state = acquire(zombie, 1, deployment);
  three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(zombie, counting(deployment, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  ASSERT_NE(acquire(heir, 1, deployment), nullptr);
  const StoredBook before = store().read();
  EXPECT_EQ(roll_up(zombie, *state), RollUp::kFenced);
  const StoredBook after = store().read();
  EXPECT_TRUE(after.same_content(before));
  EXPECT_EQ(after.small_segments, before.small_segments);
}

TEST_P(StoreConformance, ARollUpOfTheTopologyBeforeIsFenced) {
  auto& owner = connect();
  auto& grower = connect();
  const auto deployment = open(owner, 4);
  const auto state = acquire(owner, 1, deployment);
  three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(owner, counting(deployment, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  open(grower, 8);
  EXPECT_EQ(roll_up(owner, *state), RollUp::kFenced);
  EXPECT_EQ(store().read().small_segments, 3U);
}

// Partition 5 of 12 loads what partition 1 of 4 wrote, while the owner of partition 1 rolls it up:
// the loader has listed its rows and finds each of them.
TEST_P(StoreConformance, ARollUpDuringALoadIsNotSeen) {
  auto& owner = connect();
  auto& loader = connect();
  const auto before = open(owner, 4);
  auto state = acquire(owner, 1, before);
  const auto all = three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(owner, counting(before, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  const auto grown = open(owner, 12);
  state = acquire(owner, 1, grown);

  State loaded;
  loader.start([&](TotalsStore& store) { loaded = store.acquire(request(5, grown)); });
  ASSERT_EQ(loader.run_to(StoreStep::kMemoryListed), Halt::kAtStep);
  EXPECT_EQ(roll_up(owner, *state), RollUp::kDone);
  finish(loader);
  ASSERT_NE(loaded, nullptr);
  std::size_t at_home = 0;
  for (const auto& entry : all) {
    EXPECT_EQ(remembers(*loaded, entry), entry.home() % 12 == 5);
    at_home += entry.home() % 12 == 5 ? 1 : 0;
  }
  EXPECT_GT(at_home, 0U);
  EXPECT_EQ(loaded->memory.size(), at_home);
}

TEST_P(StoreConformance, ALoadDuringARollUpSeesTheRowsBefore) {
  auto& owner = connect();
  auto& loader = connect();
  const auto before = open(owner, 4);
  auto state = acquire(owner, 1, before);
  const auto all = three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(owner, counting(before, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  const auto grown = open(owner, 12);
  state = acquire(owner, 1, grown);
  const StoredBook book = store().read();

  RollUp outcome = RollUp::kFenced;
  owner.start([&](TotalsStore& store) {
    outcome = store.roll_up({state->id, state->epoch, state->generation});
  });
  ASSERT_EQ(owner.run_to(StoreStep::kRolledUp), Halt::kAtStep);
  const auto loaded = acquire(loader, 5, grown);
  for (const auto& entry : all) {
    EXPECT_EQ(remembers(*loaded, entry), entry.home() % 12 == 5);
  }
  finish(owner);
  EXPECT_EQ(outcome, RollUp::kDone);
  EXPECT_EQ(store().read().identities, book.identities);
}

TEST_P(StoreConformance, AnHeirWaitsForARollUpAndLoadsWhatItMade) {
  auto& owner = connect();
  auto& heir = connect();
  const auto deployment = open(owner, 4);
  const auto state = acquire(owner, 1, deployment);
  const auto all = three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(owner, counting(deployment, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  RollUp outcome = RollUp::kNothingToDo;
  owner.start([&](TotalsStore& store) {
    outcome = store.roll_up({state->id, state->epoch, state->generation});
  });
  ASSERT_EQ(owner.run_to(StoreStep::kRollUpLocked), Halt::kAtStep);
  State inherited;
  heir.start([&](TotalsStore& store) { inherited = store.acquire(request(1, deployment)); });
  EXPECT_EQ(heir.finish(), Halt::kBlocked);
  // Once its one large row is committed, either of the two may have the partition's row first.
  if (owner.finish() == Halt::kBlocked) {
    finish(heir);
    finish(owner);
  } else {
    finish(heir);
  }
  EXPECT_NE(outcome, RollUp::kNothingToDo);
  EXPECT_EQ(store().read().rolled_up, 1U);
  EXPECT_TRUE(remembers_all(*inherited, all));
}

TEST_P(StoreConformance, ARollUpThatDiesChangesNothing) {
  auto& owner = connect();
  const auto deployment = open(owner, 4);
  const auto state = acquire(owner, 1, deployment);
  three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(owner, counting(deployment, *state, entries)), CommitOutcome::kCommitted);
      },
      1, 4);
  const StoredBook before = store().read();
  owner.start(
      [&](TotalsStore& store) { store.roll_up({state->id, state->epoch, state->generation}); });
  ASSERT_EQ(owner.run_to(StoreStep::kRolledUp), Halt::kAtStep);
  owner.cut();
  const StoredBook after = store().read();
  EXPECT_TRUE(after.same_content(before));
  EXPECT_EQ(after.small_segments, 3U);
  EXPECT_EQ(roll_up(owner, *state), RollUp::kDone);
}

TEST_P(StoreConformance, ARollUpAndACommitTakeTurns) {
  auto& committer = connect();
  auto& roller = connect();
  const auto deployment = open(committer, 4);
  const auto state = acquire(committer, 1, deployment);
  auto all = three_segments(
      [&](const auto& entries) {
        ASSERT_EQ(commit(committer, counting(deployment, *state, entries)),
                  CommitOutcome::kCommitted);
      },
      1, 4);
  const auto more = identities_of(1, 4, 2, 9);
  all.insert(all.end(), more.begin(), more.end());
  const auto plan = counting(deployment, *state, more);
  CommitOutcome outcome = CommitOutcome::kFenced;
  committer.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  ASSERT_EQ(committer.run_to(StoreStep::kInCommit), Halt::kAtStep);
  roller.start(
      [&](TotalsStore& store) { store.roll_up({state->id, state->epoch, state->generation}); });
  EXPECT_EQ(roller.finish(), Halt::kBlocked);
  finish(committer);
  EXPECT_EQ(outcome, CommitOutcome::kCommitted);
  finish(roller);
  const StoredBook book = store().read();
  EXPECT_EQ(book.identities.at({PartitionId(1), kDay, 4}).size(), all.size());
  EXPECT_TRUE(remembers_all(*acquire(committer, 1, deployment), all));
}

// --- days ---------------------------------------------------------------------------------------

TEST_P(StoreConformance, DaysGoWhenTheSlowestPartitionNeedsThemNoMore) {
  auto& connection = connect();
  const auto deployment = open(connection, 4, kTenDaysSeconds);
  const auto fast = acquire(connection, 0, deployment);
  const auto slow = acquire(connection, 1, deployment);
  ASSERT_NE(acquire(connection, 2, deployment), nullptr);  // has no clock: does not hold others up
  const auto drop = [&] {
    run(connection, [&](TotalsStore& store) { store.drop_expired(); });
    return store().read().identities;
  };
  for (const LogDay day : {kDay, kDay + 30}) {
    ASSERT_EQ(
        commit(connection, counting(deployment, *fast,
                                    identities_of(0, 4, 2, static_cast<std::uint64_t>(day)), day)),
        CommitOutcome::kCommitted);
  }
  ASSERT_EQ(commit(connection, counting(deployment, *slow, identities_of(1, 4, 2, 1), kDay + 9)),
            CommitOutcome::kCommitted);
  EXPECT_EQ(drop().size(), 3U);  // the slow one is nine days past the oldest
  ASSERT_EQ(commit(connection, counting(deployment, *slow, identities_of(1, 4, 2, 2), kDay + 10)),
            CommitOutcome::kCommitted);
  EXPECT_EQ(drop().size(), 4U);
  ASSERT_EQ(commit(connection, counting(deployment, *slow, identities_of(1, 4, 2, 3), kDay + 11)),
            CommitOutcome::kCommitted);
  const auto kept = drop();
  EXPECT_EQ(kept.size(), 4U);
  EXPECT_FALSE(kept.contains({PartitionId(0), kDay, 4}));
  EXPECT_TRUE(kept.contains({PartitionId(0), kDay + 30, 4}));
  EXPECT_TRUE(kept.contains({PartitionId(1), kDay + 9, 4}));
  // A day that was dropped is there again for a partition that comes late.
  const auto late = acquire(connection, 3, deployment);
  EXPECT_EQ(commit(connection, counting(deployment, *late, identities_of(3, 4, 2, 4), kDay)),
            CommitOutcome::kCommitted);
}

TEST_P(StoreConformance, ALoadUnderWayHoldsNobodyUpWhenDaysExpire) {
  auto& owner = connect();
  auto& loader = connect();
  const auto deployment = open(owner, 4, kTenDaysSeconds);
  const auto state = acquire(owner, 1, deployment);
  const LogDay later = kDay + 20 + core::kMaxLagDays;  // the others were never read
  ASSERT_EQ(commit(owner, counting(deployment, *state, identities_of(1, 4, 2, 1), kDay)),
            CommitOutcome::kCommitted);
  ASSERT_EQ(commit(owner, counting(deployment, *state, identities_of(1, 4, 2, 2), later)),
            CommitOutcome::kCommitted);
  State loaded;
  loader.start([&](TotalsStore& store) { loaded = store.acquire(request(2, deployment)); });
  ASSERT_EQ(loader.run_to(StoreStep::kMemoryLoaded), Halt::kAtStep);
  // A store that must keep readers out to drop gives up soon, and says nothing.
  owner.start([&](TotalsStore& store) { store.drop_expired(); });
  if (owner.finish() == Halt::kBlocked) owner.time_out();
  EXPECT_EQ(owner.failure(), nullptr);
  EXPECT_EQ(commit(owner, counting(deployment, *state, identities_of(1, 4, 2, 3), later)),
            CommitOutcome::kCommitted);
  finish(loader);
  ASSERT_NE(loaded, nullptr);
  run(owner, [&](TotalsStore& store) { store.drop_expired(); });
  EXPECT_EQ(store().read().identities.size(), 1U);
}

// --- local runs ---------------------------------------------------------------------------------

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("tally_conformance_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// What a local run says of segments holds after they were rolled up: their tokens are still known.
TEST_P(StoreConformance, ALocalRunCoversWhatWasRolledUpSince) {
  const Folder folder;
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  auto state = acquire(connection, 1, deployment, folder.path());
  const auto all = three_segments(
      [&](const auto& entries) {
        const auto plan = counting(deployment, *state, entries);
        ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
        for (const auto& entry : entries) state->memory.insert(entry, kDay);
        for (const auto& [where, segment] : plan.segments) {
          state->memory.committed(where.second, segment.token);
        }
      },
      1, 4);
  ASSERT_TRUE(state->memory.spill({}));
  ASSERT_EQ(roll_up(connection, *state), RollUp::kDone);
  state.reset();

  state = acquire(connection, 1, deployment, folder.path());
  EXPECT_TRUE(remembers_all(*state, all));
  EXPECT_EQ(state->memory.size(), all.size());
  // Nothing was loaded: the run covers the roll-up by the tokens that it replaces.
  EXPECT_GT(state->memory.disk_bytes(), 0U);
  EXPECT_TRUE(state->memory.spill({}));
  const auto more = identities_of(1, 4, 2, 9);
  ASSERT_EQ(commit(connection, counting(deployment, *state, more)), CommitOutcome::kCommitted);
  state.reset();
  state = acquire(connection, 1, deployment, folder.path());
  EXPECT_TRUE(remembers_all(*state, all));
  EXPECT_TRUE(remembers_all(*state, more));
  EXPECT_EQ(state->memory.size(), all.size() + more.size());
}

}  // namespace
}  // namespace tally::conformance
