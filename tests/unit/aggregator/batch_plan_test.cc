#include "tests/unit/aggregator/fold_bench.h"

namespace tally::aggregator {
namespace {

// One counted, one duplicate, two skipped offsets.
BatchPlan sound_plan() {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    08:00:00 - r1 acme api {} | counted
    08:00:00 - r1 acme api {} | duplicate
  )");
  bench.fold().skip_to(core::Offset(4), bench.state, bench.plan);
  return std::move(bench.plan);
}

LedgerDelta& line_of(BatchPlan& plan) { return plan.ledger.begin()->second; }

TEST(CheckConservation, HoldsForASoundPlan) {
  const BatchPlan plan = sound_plan();
  check_conservation(plan);
  check_conservation(BatchPlan());
}

TEST(CheckConservationDeathTest, EveryRecordIsInOneClass) {
  BatchPlan plan = sound_plan();
  ++line_of(plan).late;
  EXPECT_DEATH(check_conservation(plan), "2 records, 3 in classes");
}

TEST(CheckConservationDeathTest, EveryOffsetIsAccountedFor) {
  BatchPlan plan = sound_plan();
  --line_of(plan).skipped;
  EXPECT_DEATH(check_conservation(plan), "3 offsets accounted for, but it moves from 0 to 4");
}

TEST(CheckConservationDeathTest, CountedRecordsAndClaimsAgree) {
  BatchPlan swallowed = sound_plan();
  swallowed.segments.begin()->second.entries.push_back({1, 1});
  EXPECT_DEATH(check_conservation(swallowed), "1 counted, 2 identities claimed");
  BatchPlan unclaimed = sound_plan();
  unclaimed.segments.clear();
  EXPECT_DEATH(check_conservation(unclaimed), "1 counted, 0 identities claimed");
}

TEST(CheckConservationDeathTest, WhatIsHandedOffIsOnItsWay) {
  BatchPlan plan = sound_plan();
  line_of(plan).handed_off = 1;
  line_of(plan).duplicate = 0;
  EXPECT_DEATH(check_conservation(plan), "1 handed off, 0 on their way");
  plan.handoffs[{core::PartitionId(0), core::PartitionId(0)}].records = 1;
  EXPECT_DEATH(check_conservation(plan), "hands off to itself");
}

TEST(CheckConservationDeathTest, WhatIsReceivedWasTaken) {
  BatchPlan plan = sound_plan();
  line_of(plan).received = 1;
  line_of(plan).late = 1;
  EXPECT_DEATH(check_conservation(plan), "1 received, 0 taken");
}

TEST(CheckConservationDeathTest, NoLineWithoutAGuard) {
  BatchPlan plan = sound_plan();
  plan.partitions.clear();
  EXPECT_DEATH(check_conservation(plan), "has no guard");
}

TEST(CheckConservationDeathTest, NoMoveWithoutALine) {
  BatchPlan plan = sound_plan();
  plan.partitions[core::PartitionId(7)].next = core::Offset(3);
  EXPECT_DEATH(check_conservation(plan), "partition 7: 0 offsets accounted for");
}

TEST(WindowKey, EqualKeysHashAlikeAsViewAndAsValue) {
  const WindowKeyView view{"acme", 3, 7200, 10800, "{}"};
  const WindowKey key(view);
  EXPECT_EQ(WindowKeyHash()(view), WindowKeyHash()(key));
  EXPECT_TRUE(WindowKeyEqual()(key, view));
  EXPECT_FALSE(WindowKeyEqual()(key, WindowKeyView{"acme", 4, 7200, 10800, "{}"}));
  EXPECT_FALSE(WindowKeyEqual()(key, WindowKeyView{"acme", 3, 10800, 14400, "{}"}));
  EXPECT_FALSE(WindowKeyEqual()(key, WindowKeyView{"acme", 3, 7200, 10800, "{\"a\":\"\"}"}));
}

}  // namespace
}  // namespace tally::aggregator
