// A horizon that was raised: what the shorter memory forgot is not counted again.
#include "tests/unit/aggregator/fold_bench.h"

namespace tally::aggregator {
namespace {

// The horizon was raised from 7 days to 35, and a retry of what was counted 20 days ago was counted
// again: neither late nor remembered.
TEST(Horizon, AfterItWasRaisedWhatMayBeForgottenIsLate) {
  FoldBench bench({count_meter("calls", "api"), sum_meter("tokens", "llm", "tokens")});
  bench.state.dropped_before = log_day_of(bench_time("00:00:00"));  // earlier days are gone
  // Its first copy may have come a day before its time: no future bound was ever larger.
  bench.check(R"(
    20+08:00:00 1+00:00:00  r1 acme api {} | counted
    20+08:00:01 1+00:00:00  r1 acme api {} | duplicate
    20+08:00:02 23:59:59    r2 acme api {} | late
    20+08:00:03 23:59:59    r2 acme api {} | late
    # what is remembered is told first, whatever time a retry carries
    20+08:00:04 00:00:00    r1 acme api {} | duplicate
    20+08:00:05 -           r3 acme api {} | counted
    20+08:00:06 -17+08:00:00 r4 acme api {} | late
    20+08:00:07 12:00:00    r5 acme llm {"tokens":"x"} | rejected
  )");
  expect_statement(bench, R"(
    consumed 8 counted 2 duplicate 2 late 3 rejected 1
    acme calls 2026-11-22T00:00 {} = 1 of 1
    acme calls 2026-12-11T08:00 {} = 1 of 1
    #2 late older_than_memory
    #3 late older_than_memory
    #6 late older_than_horizon
    #7 rejected value_not_a_number
  )");
  // The memory has grown: nothing but the horizon makes late.
  bench.start_new_plan();
  bench.check(R"(
    36+00:00:01 1+00:00:01 r6 acme api {} | counted
    36+00:00:02 1+00:00:00 r7 acme api {} | late
  )");
}

TEST(Horizon, NeverRaisedAgeIsTheHorizonsAlone) {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    20+08:00:00 -14+08:00:01 r1 acme api {} | counted
    20+08:00:00 -15+07:59:59 r2 acme api {} | late
  )");
}

}  // namespace
}  // namespace tally::aggregator
