// One commit: everything or nothing, once, behind its guard; an outcome that was lost is found.
#include "runtime/postgres/connection.h"
#include "tests/conformance/suite.h"

#include <algorithm>
#include <utility>

namespace tally::conformance {
namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::Resolution;
using aggregator::TotalsStore;
using core::PartitionId;
using runtime::postgres::StatementFailed;
using runtime::postgres::Unavailable;

aggregator::RejectRow verdict(std::int64_t offset, aggregator::RejectClass reject_class,
                              std::string_view reason, std::string meter = {}) {
  aggregator::RejectRow row;
  row.partition = PartitionId(1);
  row.offset = core::Offset(offset);
  row.meter = std::move(meter);
  row.reject_class = reject_class;
  row.reason = reason;
  return row;
}

TEST_P(StoreConformance, WhatIsCommittedIsReadBack) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  EXPECT_EQ(deployment.partitions, 4);
  const auto state = acquire(connection, 1, deployment);
  ASSERT_NE(state, nullptr);
  EXPECT_EQ(state->position, core::Offset(100));
  EXPECT_FALSE(state->last_offset);
  const auto entries = identities_of(1, 4, 3, 1);
  const BatchPlan plan = counting(deployment, *state, entries);
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCommitted);

  const StoredBook book = store().read();
  const StoredPartition& row = book.states.at(PartitionId(1));
  EXPECT_EQ(row.epoch, state->epoch);
  EXPECT_EQ(row.generation, deployment.generation);
  EXPECT_EQ(row.base, core::Offset(100));
  EXPECT_EQ(row.next, core::Offset(103));
  EXPECT_EQ(row.last_offset, core::Offset(102));
  EXPECT_EQ(row.last_log_time, state->last_log_time);
  EXPECT_EQ(book.ledger.at({PartitionId(1), kDay}), (std::vector<std::int64_t>{3, 0, 0, 3, 0, 0}));
  auto sorted = entries;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(book.identities.at({PartitionId(1), kDay, 4}), sorted);
  EXPECT_EQ(book.usage.at({"acme", "tokens"}), "6");

  const auto again = acquire(connection, 1, deployment);
  EXPECT_EQ(again->position, core::Offset(103));
  EXPECT_EQ(again->last_offset, core::Offset(102));
  EXPECT_EQ(again->last_digest, state->last_digest);
  EXPECT_EQ(again->last_log_time, state->last_log_time);
  EXPECT_GT(again->epoch, state->epoch);
  EXPECT_TRUE(remembers_all(*again, entries));
  EXPECT_EQ(again->memory.size(), entries.size());
}

TEST_P(StoreConformance, ReplayOfACommittedPlanIsFenced) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  const StoredBook before = store().read();
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, AnotherEpochAloneFences) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  const StoredBook before = store().read();
  for (const std::int64_t epoch : {state->epoch.value() - 1, state->epoch.value() + 1}) {
    plan.partitions.at(PartitionId(1)).epoch = core::Epoch(epoch);
    EXPECT_EQ(commit(connection, plan), CommitOutcome::kFenced);
    EXPECT_EQ(resolve(connection, plan), Resolution::kFenced);
  }
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, AnotherGenerationAloneFences) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  const StoredBook before = store().read();
  for (const std::int64_t step : {-1, 1}) {
    plan.partitions.at(PartitionId(1)).generation =
        core::Generation(deployment.generation.value() + step);
    EXPECT_EQ(commit(connection, plan), CommitOutcome::kFenced);
    EXPECT_EQ(resolve(connection, plan), Resolution::kFenced);
  }
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, AnotherOffsetAloneFences) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  const StoredBook before = store().read();
  for (const std::int64_t step : {-1, 1}) {
    BatchPlan moved = plan;
    aggregator::PartitionAdvance& guard = moved.partitions.at(PartitionId(1));
    guard.start = core::Offset(guard.start.value() + step);
    guard.next = core::Offset(guard.next.value() + step);
    EXPECT_EQ(commit(connection, moved), CommitOutcome::kFenced);
  }
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, OneFencedPartitionVoidsTheWholePlan) {
  auto& connection = connect();
  auto& other = connect();
  const auto deployment = open(connection, 4);
  const auto first = acquire(connection, 0, deployment);
  const auto last = acquire(connection, 3, deployment);
  BatchPlan plan = counting(deployment, *first, identities_of(0, 4, 2, 1));
  count(plan, *last, identities_of(3, 4, 2, 2));
  ASSERT_NE(acquire(other, 3, deployment), nullptr);
  const StoredBook before = store().read();
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, ACatalogueThatMovedIsSeenByTheCommit) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  store().change_catalogue({sum_meter("tokens"), sum_meter("words")});
  const StoredBook before = store().read();
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCatalogueMoved);
  EXPECT_TRUE(store().read().same_content(before));

  const auto renewed = open(connection, 4);
  EXPECT_EQ(renewed.meters->version().value(), deployment.meters->version().value() + 1);
  const auto again = acquire(connection, 1, renewed);
  EXPECT_EQ(commit(connection, counting(renewed, *again, identities_of(1, 4, 2, 1))),
            CommitOutcome::kCommitted);
}

// With the catalogue's version comes what an admin said of the broker's clock: who is refused for a
// log time from the future must hear of it.
TEST_P(StoreConformance, ACatalogueThatMovedIsSeenByACommitFromTheFuture) {
  constexpr LogDay kFarAhead = 60'000;
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1), kFarAhead);
  connection.start([&](TotalsStore& totals) { totals.commit(plan); });
  EXPECT_EQ(connection.finish(), Halt::kFinished);
  EXPECT_TRUE(connection.failure());
  store().change_catalogue({sum_meter("tokens"), sum_meter("words")});
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCatalogueMoved);
}

// The client dies at each step of a commit in turn; what it finds then decides, and doing it again
// leads to where an undisturbed commit leads.
TEST_P(StoreConformance, ABreakAtEachStepOfACommitIsMadeGood) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  // The break after the answer is noticed by the next call only.
  const auto settled = [&](const BatchPlan& plan) {
    try {
      return resolve(connection, plan);
    } catch (const Unavailable&) {
      return resolve(connection, plan);
    }
  };
  std::uint64_t serial = 0;
  for (const StoreStep step : {StoreStep::kBeforeCommit, StoreStep::kFenced, StoreStep::kInCommit,
                               StoreStep::kAfterCommit}) {
    const bool committed = step == StoreStep::kAfterCommit;
    SCOPED_TRACE(static_cast<int>(step));
    const auto entries = identities_of(1, 4, 2, ++serial);
    const BatchPlan plan = counting(deployment, *state, entries);
    connection.start([&](TotalsStore& store) { store.commit(plan); });
    ASSERT_EQ(connection.run_to(step), Halt::kAtStep);
    connection.cut();
    if (!committed) {
      EXPECT_THROW(std::rethrow_exception(connection.failure()), Unavailable);
    }
    EXPECT_EQ(settled(plan), committed ? Resolution::kCommitted : Resolution::kNotCommitted);
    if (!committed) {
      EXPECT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
    }
    EXPECT_EQ(resolve(connection, plan), Resolution::kCommitted);
    const StoredBook book = store().read();
    EXPECT_EQ(book.states.at(PartitionId(1)).next, state->position);
    EXPECT_EQ(book.identities.at({PartitionId(1), kDay, 4}).size(), 2 * serial);
    EXPECT_EQ(book.usage.at({"acme", "tokens"}), std::to_string(4 * serial));
  }
}

// The answer to COMMIT is lost while the transaction is still running: a plain read would see
// nothing of it and the plan would be committed again, or given up.
TEST_P(StoreConformance, AGhostThatCommitsIsWaitedFor) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  connection.lose_next_commit();
  EXPECT_THROW(commit(connection, plan), runtime::postgres::InDoubt);
  EXPECT_EQ(store().read().states.at(PartitionId(1)).next, core::Offset(100));

  Resolution resolution = Resolution::kFenced;
  connection.start([&](TotalsStore& store) { resolution = store.resolve(plan); });
  EXPECT_EQ(connection.finish(), Halt::kBlocked);
  store().end_ghost(GhostEnd::kCommits);
  finish(connection);
  EXPECT_EQ(resolution, Resolution::kCommitted);
  EXPECT_EQ(store().read().usage.at({"acme", "tokens"}), "4");
}

TEST_P(StoreConformance, AGhostThatAbortsIsWaitedFor) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  const StoredBook before = store().read();
  connection.lose_next_commit();
  EXPECT_THROW(commit(connection, plan), runtime::postgres::InDoubt);

  Resolution resolution = Resolution::kFenced;
  connection.start([&](TotalsStore& store) { resolution = store.resolve(plan); });
  EXPECT_EQ(connection.finish(), Halt::kBlocked);
  store().end_ghost(GhostEnd::kAborts);
  finish(connection);
  EXPECT_EQ(resolution, Resolution::kNotCommitted);
  EXPECT_TRUE(store().read().same_content(before));
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
}

TEST_P(StoreConformance, AResolutionThatWaitsTooLongIsTriedAgain) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  connection.lose_next_commit();
  EXPECT_THROW(commit(connection, plan), runtime::postgres::InDoubt);
  connection.start([&](TotalsStore& store) { store.resolve(plan); });
  ASSERT_EQ(connection.finish(), Halt::kBlocked);
  connection.time_out();
  try {
    std::rethrow_exception(connection.failure());
  } catch (const StatementFailed& failure) {
    EXPECT_EQ(failure.sqlstate(), "55P03");
    EXPECT_TRUE(failure.retriable());
  }
  store().end_ghost(GhostEnd::kCommits);
  EXPECT_EQ(resolve(connection, plan), Resolution::kCommitted);
}

// A record that was replayed while its first replay waited: its verdicts come in one plan, or one
// after the other, and end in the same row.
TEST_P(StoreConformance, TwoVerdictsOfOneRecordInOnePlan) {
  using aggregator::RejectClass;
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  std::uint64_t serial = 0;
  const auto reject = [&](std::vector<aggregator::RejectRow> rows) {
    BatchPlan plan = counting(deployment, *state, {identity(1, ++serial)});
    plan.rejects = std::move(rows);
    ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  };
  const auto first = [](std::int64_t offset) {
    return verdict(offset, RejectClass::kRejected, "value_missing");
  };
  const auto second = [](std::int64_t offset) {
    return verdict(offset, RejectClass::kConflict, "other_content");
  };
  reject({second(200), first(300), verdict(200, RejectClass::kMeter, "value_missing", "tokens"),
          first(200)});
  reject({first(300)});
  StoredBook book = store().read();
  const RejectPlace together{PartitionId(1), core::Offset(200), ""};
  const RejectPlace apart{PartitionId(1), core::Offset(300), ""};
  EXPECT_EQ(book.rejects.size(), 3U);
  EXPECT_EQ(book.rejects.at(together), (StoredReject{RejectClass::kRejected, "value_missing", 2}));
  EXPECT_EQ(book.rejects.at(together), book.rejects.at(apart));

  reject({first(200), first(300), first(200), second(200)});
  reject({first(300)});
  reject({second(300)});
  book = store().read();
  EXPECT_EQ(book.rejects.at(together), (StoredReject{RejectClass::kConflict, "other_content", 5}));
  EXPECT_EQ(book.rejects.at(together), book.rejects.at(apart));
}

// A second commit of the plan while its ghost still runs does not count twice either.
TEST_P(StoreConformance, AGhostFencesTheSameCommitDoneAgain) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  connection.lose_next_commit();
  EXPECT_THROW(commit(connection, plan), runtime::postgres::InDoubt);
  CommitOutcome outcome = CommitOutcome::kCommitted;
  connection.start([&](TotalsStore& store) { outcome = store.commit(plan); });
  EXPECT_EQ(connection.finish(), Halt::kBlocked);
  store().end_ghost(GhostEnd::kCommits);
  finish(connection);
  EXPECT_EQ(outcome, CommitOutcome::kFenced);
  EXPECT_EQ(store().read().usage.at({"acme", "tokens"}), "4");
}

TEST_P(StoreConformance, AResolutionUnderAnotherOwnerIsFenced) {
  auto& connection = connect();
  auto& other = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  connection.start([&](TotalsStore& store) { store.commit(plan); });
  ASSERT_EQ(connection.run_to(StoreStep::kInCommit), Halt::kAtStep);
  connection.cut();
  ASSERT_NE(acquire(other, 1, deployment), nullptr);
  EXPECT_EQ(resolve(connection, plan), Resolution::kFenced);
}

}  // namespace
}  // namespace tally::conformance
