// A broker's clock that was ahead: what it stamped below an offset counts as of an admin's time.
#include "core/identity.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>

namespace tally::aggregator {
namespace {

using core::Offset;
using core::PartitionId;

FoldBench calls(FoldRules rules = kBenchRules, PartitionId partition = PartitionId(0)) {
  return FoldBench({count_meter("calls", "api")}, rules, 1, partition);
}

std::string call(std::string_view id, std::string_view time = "-") {
  return structured_event(id, "acme", "api", time, "{}");
}

TEST(LogTime, WhatIsStampedLaterBelowTheOffsetCountsAsOfTheCeiling) {
  FoldBench bench = calls();
  bench.state.log_time_ceiling = LogTimeCeiling{Offset(4), bench_time("09:00:00")};
  bench.check(R"(
    08:00:00   - r0 acme api {} | counted
    3+08:00:00 - r1 acme api {} | counted
    09:00:00   - r2 acme api {} | counted
    # a second after the ceiling, and the last below the offset
    09:00:01   - r3 acme api {} | counted
  )");
  EXPECT_EQ(bench.state.last_log_time, bench_time("09:00:00"));
  EXPECT_EQ(bench.plan.partitions.at(PartitionId(0)).last_log_time, bench_time("09:00:00"));
  expect_statement(bench, R"(
    consumed 4 counted 4
    acme calls 2026-11-21T08:00 {} = 1 of 1
    acme calls 2026-11-21T09:00 {} = 3 of 3
  )");
  // At the offset the broker is believed again.
  bench.start_new_plan();
  EXPECT_EQ(name_of(bench.add_at(4, call("r4"), bench_time("10:00:00"))), "counted");
  EXPECT_EQ(bench.state.last_log_time, bench_time("10:00:00"));
  expect_statement(bench, R"(
    consumed 1 counted 1
    acme calls 2026-11-21T10:00 {} = 1 of 1
  )");
}

TEST(LogTime, WithoutACeilingTheStampIsTheLogTime) {
  FoldBench bench = calls();
  bench.check("3+08:00:00 - r0 acme api {} | counted");
  EXPECT_EQ(bench.state.last_log_time, bench_time("3+08:00:00"));
}

// A clock that went 40 days ahead would forget r0 and find the time of r1 too old.
TEST(LogTime, LatenessTheFutureAndTheMemoryGoByTheMendedTime) {
  for (const bool mended : {false, true}) {
    FoldBench bench = calls();
    if (mended) bench.state.log_time_ceiling = LogTimeCeiling{Offset(3), bench_time("09:00:00")};
    bench.add(call("r0", "2026-11-21T08:00:00Z"), bench_time("08:00:00"));
    bench.add(call("r1", "2026-11-21T08:30:00Z"), bench_time("40+08:30:00"));
    bench.add(call("r2", "2026-12-31T08:30:00Z"), bench_time("40+08:30:00"));
    bench.add(call("r0", "2026-11-21T08:00:00Z"), bench_time("08:31:00"));
    expect_statement(bench, mended ? R"(
      consumed 4 counted 2 duplicate 1 rejected 1
      acme calls 2026-11-21T08:00 {} = 2 of 2
      #2 rejected time_in_future
    )"
                                   : R"(
      consumed 4 counted 2 late 2
      acme calls 2026-11-21T08:00 {} = 1 of 1
      acme calls 2026-12-31T08:00 {} = 1 of 1
      #1 late older_than_horizon
      #3 late older_than_memory
    )");
    EXPECT_EQ(bench.plan.ledger.size(), mended ? 1U : 2U);
    EXPECT_EQ(bench.plan.segments.size(), mended ? 1U : 2U);
    EXPECT_EQ(bench.plan.rejects.back().log_time, bench_time(mended ? "09:00:00" : "08:31:00"));
  }
}

TEST(LogTime, AnotherCeilingAfterTheFirstIsThatOfItsRecords) {
  FoldBench bench = calls();
  bench.state.log_time_ceiling = LogTimeCeiling{Offset(1), bench_time("08:00:00")};
  bench.add(call("r0"), bench_time("3+08:00:00"));
  // Acquired anew: the next one.
  bench.state.log_time_ceiling = LogTimeCeiling{Offset(2), bench_time("10:00:00")};
  bench.add(call("r1"), bench_time("3+08:00:00"));
  bench.add(call("r2"), bench_time("11:00:00"));
  expect_statement(bench, R"(
    consumed 3 counted 3
    acme calls 2026-11-21T08:00 {} = 1 of 1
    acme calls 2026-11-21T10:00 {} = 1 of 1
    acme calls 2026-11-21T11:00 {} = 1 of 1
  )");
}

TEST(LogTime, WhatIsHandedOffCarriesTheMendedTimeAndItsHomeMendsNothing) {
  FoldRules rules = kBenchRules;
  rules.partitions = 2;
  std::string id;
  for (int i = 0; id.empty(); ++i) {
    const std::string candidate = fmt::format("r{}", i);
    if (core::home_bits(candidate) % 2 == 1) id = candidate;
  }
  FoldBench source = calls(rules, PartitionId(0));
  source.state.log_time_ceiling = LogTimeCeiling{Offset(1), bench_time("09:00:00")};
  EXPECT_EQ(name_of(source.add(call(id), bench_time("3+08:00:00"))), "handed_off");
  EXPECT_EQ(source.state.last_log_time, bench_time("09:00:00"));
  const auto& block = source.plan.handoffs.begin()->second.blocks.front();
  EXPECT_EQ(HandoffReader(block.bytes).next()->record.log_time_ms, bench_time("09:00:00").millis());

  FoldBench home = calls(rules, PartitionId(1));
  home.state.log_time_ceiling = LogTimeCeiling{Offset(9), bench_time("07:00:00")};
  home.receive({core::HandoffId(1), block.records, block.bytes});
  EXPECT_EQ(home.state.last_log_time, bench_time("09:00:00"));
  expect_statement(home, R"(
    consumed 0 received 1 counted 1
    acme calls 2026-11-21T09:00 {} = 1 of 1
  )");
}

}  // namespace
}  // namespace tally::aggregator
