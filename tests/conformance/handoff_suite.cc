// Records on their way to another partition.
#include "core/limits.h"
#include "runtime/postgres/connection.h"
#include "tests/conformance/suite.h"

#include <set>

namespace tally::conformance {
namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::Resolution;
using aggregator::TotalsStore;
using core::PartitionId;

TEST_P(StoreConformance, AHandedOffRecordReachesItsHomeOnce) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const auto home = acquire(connection, 1, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, std::string("one\0two", 7));
  hand_off(sending, *source, 2, "elsewhere");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  const StoredBook sent = store().read();
  ASSERT_EQ(sent.handoffs.size(), 2U);
  EXPECT_EQ(sent.handoffs[0].source, PartitionId(0));
  EXPECT_EQ(sent.handoffs[0].home, PartitionId(1));
  EXPECT_EQ(sent.ledger.at({PartitionId(0), kDay}), (std::vector<std::int64_t>{2, 0, 2, 0, 0, 0}));

  const auto rows = waiting(connection, 1);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].bytes, std::string("one\0two", 7));
  EXPECT_EQ(rows[0].records, 1);
  BatchPlan receiving = empty_plan(deployment);
  receive(receiving, *home, rows);
  EXPECT_TRUE(waiting(connection, 1, {rows[0].id}).empty());
  ASSERT_EQ(commit(connection, receiving), CommitOutcome::kCommitted);

  const StoredBook book = store().read();
  ASSERT_EQ(book.handoffs.size(), 1U);
  EXPECT_EQ(book.handoffs[0].home, PartitionId(2));
  EXPECT_EQ(book.ledger.at({PartitionId(1), kDay}), (std::vector<std::int64_t>{0, 1, 0, 0, 0, 0}));
  // It consumed nothing, but its clock has moved.
  EXPECT_EQ(book.states.at(PartitionId(1)).next, core::Offset(100));
  EXPECT_FALSE(book.states.at(PartitionId(1)).last_offset);
  EXPECT_EQ(book.states.at(PartitionId(1)).last_log_time, home->last_log_time);
  const auto again = acquire(connection, 1, deployment);
  EXPECT_EQ(again->last_log_time, home->last_log_time);
  EXPECT_FALSE(again->last_offset);
}

// Its offset does not move, so only the rows that it takes can fence it.
TEST_P(StoreConformance, ReplayOfAPlanThatOnlyReceivedIsFenced) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const auto home = acquire(connection, 1, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, "record");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  BatchPlan receiving = empty_plan(deployment);
  receive(receiving, *home, waiting(connection, 1));
  ASSERT_EQ(commit(connection, receiving), CommitOutcome::kCommitted);
  const StoredBook before = store().read();
  EXPECT_EQ(commit(connection, receiving), CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
}

TEST_P(StoreConformance, AHandoffTakenTwiceFencesTheSecondPlan) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const auto home = acquire(connection, 1, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, "first");
  hand_off(sending, *source, 1, "second");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  const auto rows = waiting(connection, 1);
  ASSERT_EQ(rows.size(), 2U);
  BatchPlan one = counting(deployment, *home, identities_of(1, 4, 1, 1));
  receive(one, *home, {rows[0]});
  BatchPlan both = counting(deployment, *home, identities_of(1, 4, 1, 2));
  receive(both, *home, rows);
  ASSERT_EQ(commit(connection, one), CommitOutcome::kCommitted);
  const StoredBook before = store().read();
  EXPECT_EQ(commit(connection, both), CommitOutcome::kFenced);
  EXPECT_TRUE(store().read().same_content(before));
  EXPECT_EQ(waiting(connection, 1).size(), 1U);
}

TEST_P(StoreConformance, AnotherHomesRowCannotBeTaken) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const auto thief = acquire(connection, 2, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, "record");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  BatchPlan stealing = empty_plan(deployment);
  receive(stealing, *thief, waiting(connection, 1));
  EXPECT_EQ(commit(connection, stealing), CommitOutcome::kFenced);
  EXPECT_EQ(store().read().handoffs.size(), 1U);
}

// A home with its own log of last week still to read leaves what is of today.
TEST_P(StoreConformance, WaitingRowsOfLaterDaysAreLeftWhereAsked) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  for (const LogDay day : {kDay + 2, kDay, kDay + 1}) {
    BatchPlan plan = empty_plan(deployment);
    hand_off(plan, *source, 1, std::to_string(day - kDay), day);
    ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  }
  const auto days_up_to = [&](std::optional<LogDay> last_day) {
    std::string days;
    for (const auto& row : waiting(connection, 1, {}, last_day)) days += row.bytes;
    return days;
  };
  EXPECT_EQ(days_up_to(std::nullopt), "201");
  EXPECT_EQ(days_up_to(kDay + 2), "201");
  EXPECT_EQ(days_up_to(kDay + 1), "01");
  EXPECT_EQ(days_up_to(kDay), "0");
  EXPECT_EQ(days_up_to(0), "");
}

TEST_P(StoreConformance, WaitingRowsComeInOrderAndInPortions) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const std::string large(core::kMaxHandoffReadBytes - 100, 'x');
  for (const std::string& block :
       {std::string("a"), large, std::string(200, 'b'), std::string("c")}) {
    BatchPlan plan = empty_plan(deployment);
    hand_off(plan, *source, 1, block);
    ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  }
  const auto first = waiting(connection, 1);
  ASSERT_EQ(first.size(), 2U);  // the third would pass the bound
  EXPECT_LT(first[0].id, first[1].id);
  EXPECT_EQ(first[0].bytes, "a");
  EXPECT_EQ(first[1].bytes.size(), large.size());
  const auto rest = waiting(connection, 1, {first[0].id, first[1].id});
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_EQ(rest[1].bytes, "c");
  // One row always comes, however large.
  BatchPlan plan = empty_plan(deployment);
  hand_off(plan, *source, 2, std::string(core::kMaxHandoffReadBytes + 1, 'y'));
  ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  EXPECT_EQ(waiting(connection, 2).size(), 1U);
}

TEST_P(StoreConformance, WhatAnAdminPutsBackWaitsLikeTheRest) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto home = acquire(connection, 1, deployment);
  store().readmit(PartitionId(1), 1, "put back");
  const auto rows = waiting(connection, 1);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].bytes, "put back");
  BatchPlan plan = empty_plan(deployment);
  receive(plan, *home, rows);
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  EXPECT_TRUE(store().read().handoffs.empty());
}

TEST_P(StoreConformance, ResolutionOfAPlanThatOnlyReceives) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  const auto home = acquire(connection, 1, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, "record");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  BatchPlan receiving = empty_plan(deployment);
  receive(receiving, *home, waiting(connection, 1));

  connection.start([&](TotalsStore& store) { store.commit(receiving); });
  ASSERT_EQ(connection.run_to(StoreStep::kInCommit), Halt::kAtStep);
  connection.cut();
  EXPECT_EQ(resolve(connection, receiving), Resolution::kNotCommitted);

  for (const GhostEnd end : {GhostEnd::kAborts, GhostEnd::kCommits}) {
    connection.lose_next_commit();
    EXPECT_THROW(commit(connection, receiving), runtime::postgres::InDoubt);
    Resolution resolution = Resolution::kFenced;
    connection.start([&](TotalsStore& store) { resolution = store.resolve(receiving); });
    EXPECT_EQ(connection.finish(), Halt::kBlocked);
    store().end_ghost(end);
    finish(connection);
    EXPECT_EQ(resolution,
              end == GhostEnd::kCommits ? Resolution::kCommitted : Resolution::kNotCommitted);
  }
  EXPECT_EQ(store().read().ledger.at({PartitionId(1), kDay})[1], 1);
}

// Handed off, received and waiting agree through a growth and a second way on.
TEST_P(StoreConformance, NoHandedOffRecordIsLostOverAGrowth) {
  auto& connection = connect();
  const auto before = open(connection, 4);
  const auto source = acquire(connection, 0, before);
  BatchPlan sending = empty_plan(before);
  hand_off(sending, *source, 1, "record");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  const auto grown = open(connection, 12);
  const auto home = acquire(connection, 1, grown);
  const auto rows = waiting(connection, 1);
  ASSERT_EQ(rows.size(), 1U);
  // Its home is 5 now: partition 1 hands it on in the commit that takes it.
  BatchPlan onward = empty_plan(grown);
  receive(onward, *home, rows);
  aggregator::LedgerDelta& line = onward.ledger[{PartitionId(1), kDay}];
  --line.filtered;
  ++line.handed_off;
  onward.handoffs[{PartitionId(1), PartitionId(5)}] = {{{rows[0].bytes, 1}}, 1};
  ASSERT_EQ(commit(connection, onward), CommitOutcome::kCommitted);
  EXPECT_TRUE(waiting(connection, 1).empty());
  EXPECT_EQ(waiting(connection, 5).size(), 1U);
  std::int64_t handed_off = 0;
  std::int64_t received = 0;
  for (const auto& [where, sums] : store().read().ledger) {
    received += sums[1];
    handed_off += sums[2];
  }
  EXPECT_EQ(handed_off, received + 1);
}

}  // namespace
}  // namespace tally::conformance
