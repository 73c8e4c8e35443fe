// The conformance suite over real Postgres, and what only Postgres has.
#include "runtime/postgres/connection.h"
#include "tests/conformance/postgres_subject.h"
#include "tests/conformance/suite.h"

#include <fmt/format.h>

#include <tuple>

namespace tally::conformance {

INSTANTIATE_TEST_SUITE_P(Postgres, StoreConformance,
                         testing::Values(Subject{
                             "postgres", [] { return std::make_unique<PostgresSubject>(); }}),
                         [](const auto& chosen) { return chosen.param.name; });

namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::TotalsStore;

// The fixture's words over a store that is Postgres.
class PostgresConformance : public StoreConformance {
 protected:
  runtime::postgres::Connection& control() {
    return dynamic_cast<PostgresSubject&>(store()).control();
  }
};

INSTANTIATE_TEST_SUITE_P(Postgres, PostgresConformance,
                         testing::Values(Subject{
                             "postgres", [] { return std::make_unique<PostgresSubject>(); }}),
                         [](const auto& chosen) { return chosen.param.name; });

// Two instances need the same new day at the same moment.
TEST_P(PostgresConformance, ADayIsMadeOnceHoweverManyAsk) {
  auto& one = connect();
  auto& two = connect();
  const auto deployment = open(one, 4);
  const auto first = acquire(one, 0, deployment);
  const auto second = acquire(two, 1, deployment);
  const BatchPlan plan_one = counting(deployment, *first, identities_of(0, 4, 2, 1));
  const BatchPlan plan_two = counting(deployment, *second, identities_of(1, 4, 2, 2));
  control().exec("SELECT pg_advisory_lock(499850701946)");
  CommitOutcome outcome_one = CommitOutcome::kFenced;
  CommitOutcome outcome_two = CommitOutcome::kFenced;
  one.start([&](TotalsStore& store) { outcome_one = store.commit(plan_one); });
  two.start([&](TotalsStore& store) { outcome_two = store.commit(plan_two); });
  EXPECT_EQ(one.finish(), Halt::kBlocked);
  EXPECT_EQ(two.finish(), Halt::kBlocked);
  control().exec("SELECT pg_advisory_unlock(499850701946)");
  // Either may get the lock first, and then stands still with it until it is asked to go on.
  const bool two_was_first = one.finish() == Halt::kBlocked;
  finish(two);
  if (two_was_first) finish(one);
  EXPECT_EQ(one.failure(), nullptr);
  EXPECT_EQ(outcome_one, CommitOutcome::kCommitted);
  EXPECT_EQ(outcome_two, CommitOutcome::kCommitted);
  EXPECT_EQ(integration::count(control(),
                               "pg_inherits WHERE inhparent = "
                               "'tally.dedup_segment'::regclass"),
            1);
}

// A connection remembers which days it has seen; one of them is dropped behind its back.
TEST_P(PostgresConformance, ADayThatVanishedIsMadeAnew) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  ASSERT_EQ(commit(connection, counting(deployment, *state, identities_of(1, 4, 2, 1))),
            CommitOutcome::kCommitted);
  control().exec("DROP TABLE tally.dedup_segment_20241004, tally.dedup_rollup_20241004");
  const BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, 2));
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
}

// More windows than one statement takes, and more spans.
TEST_P(PostgresConformance, APlanOfManyStatementsIsStoredWhole) {
  constexpr int kTenants = 41'000;
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  for (std::uint64_t round = 1; round <= 2; ++round) {
    BatchPlan plan = counting(deployment, *state, identities_of(1, 4, 2, round));
    for (int tenant = 0; tenant < kTenants; ++tenant) {
      const std::string name = fmt::format("t{}", tenant);
      plan.totals.usage[plan.totals.key({name, 0, 1'700'000'400, 1'700'004'000, "{}"})] = {
          core::Decimal::from_int(tenant), 1};
    }
    ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  }
  const auto sums = [&](const std::string& table) {
    const auto rows = control().exec("SELECT count(*), sum(quantity)::bigint, min(events) FROM " +
                                     table + " WHERE tenant LIKE 't%'");
    return std::tuple(rows.int64(0, 0), rows.int64(0, 1), rows.int64(0, 2));
  };
  constexpr std::int64_t kSum = std::int64_t{kTenants} * (kTenants - 1);  // of both rounds
  EXPECT_EQ(sums("tally.usage_window"), std::tuple(kTenants, kSum, 2));
  EXPECT_EQ(sums("tally.usage_total"), std::tuple(2 * kTenants, 2 * kSum, 2));
}

// Quiet partitions too end in few rows.
TEST_P(PostgresConformance, SmallRollUpsAreJoinedAgain) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto state = acquire(connection, 1, deployment);
  std::vector<core::DedupEntry> all;
  for (std::uint64_t round = 0; round < 16; ++round) {
    for (std::uint64_t i = 0; i < 2; ++i) {
      const auto entries = identities_of(1, 4, 3, (round * 2) + i + 1);
      ASSERT_EQ(commit(connection, counting(deployment, *state, entries)),
                CommitOutcome::kCommitted);
      all.insert(all.end(), entries.begin(), entries.end());
    }
    ASSERT_EQ(roll_up(connection, *state), aggregator::RollUp::kDone);
  }
  const StoredBook book = store().read();
  EXPECT_EQ(book.rolled_up, 1U);
  EXPECT_EQ(book.identities.at({core::PartitionId(1), kDay, 4}).size(), all.size());
  // Each of the 32 segments and of the 16 rows in between.
  EXPECT_EQ(control().exec("SELECT cardinality(replaces) FROM tally.dedup_rollup").int64(0, 0), 48);
  EXPECT_TRUE(remembers_all(*acquire(connection, 1, deployment), all));
}

TEST_P(PostgresConformance, TheTopicsAndTheHandoffsBooksAreInFinance) {
  auto& connection = connect();
  const auto deployment = open(connection, 4);
  const auto source = acquire(connection, 0, deployment);
  BatchPlan sending = empty_plan(deployment);
  hand_off(sending, *source, 1, "record");
  ASSERT_EQ(commit(connection, sending), CommitOutcome::kCommitted);
  EXPECT_TRUE(control().exec("SELECT balanced FROM finance.handoff_balance").boolean(0, 0));
  EXPECT_TRUE(control().exec("SELECT bool_and(balanced) FROM finance.ledger").boolean(0, 0));
  control().exec("DELETE FROM tally.handoff");
  EXPECT_FALSE(control().exec("SELECT balanced FROM finance.handoff_balance").boolean(0, 0));
}

}  // namespace
}  // namespace tally::conformance
