// What is kept of rejects is bounded: past a commit's budget only counts and offset ranges stay.
#include "core/limits.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <gtest/gtest.h>

#include <string>

namespace tally::aggregator {
namespace {

TEST(Fold, PastTheBudgetOnlyCountsAndRangesStay) {
  FoldBench bench({count_meter("calls", "api")});
  const std::int64_t over = 7;
  for (std::int64_t i = 0; i < core::kMaxRejectRowsPerCommit + over; ++i) {
    bench.add_at(i, "[]", bench_time("08:00:00"));
  }
  EXPECT_EQ(static_cast<std::int64_t>(bench.plan.rejects.size()), core::kMaxRejectRowsPerCommit);
  ASSERT_EQ(bench.plan.reject_overflow.size(), 1U);
  EXPECT_EQ(bench.plan.reject_overflow[0].first, core::kMaxRejectRowsPerCommit);
  EXPECT_EQ(bench.plan.reject_overflow[0].last, core::kMaxRejectRowsPerCommit + over - 1);
  EXPECT_EQ(bench.plan.reject_overflow[0].rows, over);
  EXPECT_EQ(bench.plan.ledger.begin()->second.rejected, core::kMaxRejectRowsPerCommit + over);
}

TEST(Fold, TheBudgetOfBytesCountsEverythingThatIsKept) {
  FoldBench bench({count_meter("calls", "api")});
  const std::string large(core::kMaxRecordBytes, ' ');
  const auto fit = core::kMaxRejectBytesPerCommit / static_cast<std::int64_t>(large.size());
  for (std::int64_t i = 0; i < fit + 3; ++i) bench.add(large, bench_time("08:00:00"));
  EXPECT_EQ(static_cast<std::int64_t>(bench.plan.rejects.size()), fit);
  EXPECT_EQ(bench.plan.reject_overflow.at(0).rows, 3);

  // Headers are kept too: they count.
  FoldBench with_headers({count_meter("calls", "api")});
  const runtime::kafka::Header header{"padding", large};
  for (std::int64_t i = 0; i < fit + 3; ++i) {
    runtime::kafka::Record record;
    record.offset = i;
    record.log_time_ms = bench_time("08:00:00").millis();
    record.value = "[]";
    record.headers = {&header, 1};
    DecodedEvent event;
    event.reject = RejectReason::kNotCloudEvent;
    with_headers.fold().add(record, event, with_headers.state, with_headers.plan);
  }
  EXPECT_LE(with_headers.plan.rejects.size(), static_cast<std::size_t>(fit));
  EXPECT_GE(with_headers.plan.rejects.size(), static_cast<std::size_t>(fit - 1));
}

}  // namespace
}  // namespace tally::aggregator
