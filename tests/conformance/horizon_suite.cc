// How long identities are remembered is said once, in the database.
#include "core/limits.h"
#include "tests/conformance/suite.h"

namespace tally::conformance {
namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::Misconfigured;
using aggregator::OpenRequest;
using aggregator::TotalsStore;

constexpr std::int64_t kDaySeconds = 86'400;

// What it says to whom it refuses; "" when it let them in.
std::string refusal(StoreConnection& connection, const OpenRequest& request) {
  connection.start([&](TotalsStore& store) { store.open(request); });
  EXPECT_EQ(connection.finish(), Halt::kFinished);
  try {
    if (connection.failure()) std::rethrow_exception(connection.failure());
  } catch (const Misconfigured& refused) {
    return refused.what();
  }
  return "";
}

TEST_P(StoreConformance, TheFirstToOpenSaysHowLongIdentitiesAreRemembered) {
  auto& first = connect();
  auto& other = connect();
  ASSERT_EQ(open(first, 4, 7 * kDaySeconds).partitions, 4);
  EXPECT_EQ(refusal(other, asking(4, 7 * kDaySeconds)), "");
  for (const OpenRequest& request : {asking(4, 6 * kDaySeconds), asking(4, 8 * kDaySeconds),
                                     asking(4, 7 * kDaySeconds, 301), asking(6, 8 * kDaySeconds)}) {
    const std::string said = refusal(other, request);
    for (const std::string& word :
         {std::string("--horizon-seconds 604800"), std::string("--future-bound-seconds 300"),
          std::to_string(request.horizon_seconds), std::to_string(request.future_bound_seconds),
          std::string("tally-admin horizon set")}) {
      EXPECT_NE(said.find(word), std::string::npos) << word << " in: " << said;
    }
  }
  EXPECT_EQ(store().read().partitions, 4);  // who is refused changes nothing
}

TEST_P(StoreConformance, AChangedHorizonEndsThePlansMadeUnderTheOldOne) {
  auto& connection = connect();
  const auto deployment = open(connection, 4, 7 * kDaySeconds);
  const auto state = acquire(connection, 1, deployment);
  const auto plan = counting(deployment, *state, identities_of(1, 4, 2, 1));
  store().change_horizon(35 * kDaySeconds, 60);
  EXPECT_EQ(commit(connection, plan), CommitOutcome::kCatalogueMoved);
  EXPECT_NE(refusal(connection, asking(4, 7 * kDaySeconds)), "");
  EXPECT_EQ(refusal(connection, asking(4, 35 * kDaySeconds, 60)), "");
}

// The days that are needed depend on the row alone: 7 days and 300 s are remembered for 9 days.
// What was dropped once is known to be gone, whatever the horizon is later.
TEST_P(StoreConformance, WhoAcquiresKnowsWhatWasForgottenBefore) {
  auto& connection = connect();
  auto deployment = open(connection, 4, 7 * kDaySeconds);
  const auto state = acquire(connection, 1, deployment);
  EXPECT_FALSE(state->dropped_before.has_value());
  const auto commit_on = [&](LogDay day, std::uint64_t serial) {
    ASSERT_EQ(commit(connection, counting(deployment, *state, identities_of(1, 4, 2, serial), day)),
              CommitOutcome::kCommitted);
    run(connection, [](TotalsStore& store) { store.drop_expired(); });
  };
  const auto dropped_before = [&] { return acquire(connection, 2, deployment)->dropped_before; };
  // The others are far ahead.
  for (const std::int32_t other : {0, 2, 3}) {
    const auto ahead = acquire(connection, other, deployment);
    ASSERT_EQ(
        commit(connection, counting(deployment, *ahead, identities_of(other, 4, 1, 90), kDay + 99)),
        CommitOutcome::kCommitted);
  }
  commit_on(kDay, 1);
  commit_on(kDay + 9, 2);
  EXPECT_EQ(store().read().identities.size(), 3U + 2U);
  EXPECT_FALSE(dropped_before().has_value());  // nothing was dropped yet: nothing is missing
  commit_on(kDay + 10, 3);
  EXPECT_EQ(store().read().identities.size(), 3U + 2U);
  EXPECT_EQ(dropped_before(), kDay + 1);

  store().change_horizon(35 * kDaySeconds, 300);
  deployment = open(connection, 4, 35 * kDaySeconds);
  EXPECT_EQ(dropped_before(), kDay + 1);
  // Lowered and raised again: what went in between counts.
  store().change_horizon(1 * kDaySeconds, 300);
  deployment = open(connection, 4, 1 * kDaySeconds);
  commit_on(kDay + 13, 4);
  EXPECT_EQ(store().read().identities.size(), 3U + 2U);
  store().change_horizon(2 * kDaySeconds, 300);
  deployment = open(connection, 4, 2 * kDaySeconds);
  EXPECT_EQ(dropped_before(), kDay + 10);
}

TEST_P(StoreConformance, TheSlowestDayIsThatOfWhatIsStillToCome) {
  auto& connection = connect();
  const auto deployment = open(connection, 3);
  const auto slowest = [&] {
    return run(connection, [](TotalsStore& store) { return store.slowest_day(); });
  };
  const auto read_up_to = [&](aggregator::PartitionState& state, LogDay day) {
    const auto identities = identities_of(state.id.value(), 3, 1, static_cast<std::uint64_t>(day));
    ASSERT_EQ(commit(connection, counting(deployment, state, identities, day)),
              CommitOutcome::kCommitted);
  };
  const auto first = acquire(connection, 0, deployment);
  const auto second = acquire(connection, 1, deployment);
  EXPECT_EQ(slowest(), std::nullopt);  // nobody has read anything
  read_up_to(*first, kDay + 40);
  read_up_to(*second, kDay + 30);
  EXPECT_EQ(slowest(), kDay + 40 - core::kMaxLagDays);  // partition 2 may be anywhere
  const auto third = acquire(connection, 2, deployment);
  EXPECT_EQ(third->slowest_day, kDay + 40 - core::kMaxLagDays);
  read_up_to(*third, kDay + 35);
  EXPECT_EQ(slowest(), kDay + 30);
  // What waits for its home is still to come; what an admin puts back is judged by itself.
  BatchPlan plan = empty_plan(deployment);
  hand_off(plan, *second, 0, "record", kDay + 20);
  ASSERT_EQ(commit(connection, plan), CommitOutcome::kCommitted);
  EXPECT_EQ(slowest(), kDay + 20);
  BatchPlan taking = empty_plan(deployment);
  receive(taking, *first, waiting(connection, 0), kDay + 20);
  ASSERT_EQ(commit(connection, taking), CommitOutcome::kCommitted);
  EXPECT_EQ(slowest(), kDay + 30);
  store().readmit(core::PartitionId(0), 1, "record");
  EXPECT_EQ(slowest(), kDay + 30);
}

}  // namespace
}  // namespace tally::conformance
