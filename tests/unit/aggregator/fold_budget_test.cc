// What is kept of rejects is bounded: past a commit's budget only counts and offset ranges stay,
// and the verdicts of replayed records.
#include "aggregator/handoff.h"
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
    with_headers.fold().add({&record, 1}, with_headers.state, with_headers.plan);
  }
  EXPECT_LE(with_headers.plan.rejects.size(), static_cast<std::size_t>(fit));
  EXPECT_GE(with_headers.plan.rejects.size(), static_cast<std::size_t>(fit - 1));
}

HandoffRow replayed(const std::string& value) {
  runtime::kafka::Record record;
  record.partition = 3;
  record.offset = 7;
  record.log_time_ms = bench_time("08:00:00").millis();
  record.key = "key";
  record.value = value;
  HandoffRow row{core::HandoffId(1), 1, {}};
  append_handoff(record, Admission::kReadmitted, row.bytes);
  return row;
}

// `rejects replay --again --unchecked` takes what has more verdicts than replays: a replayed record
// that was refused beyond the budget looked as if it had been counted, for good.
TEST(Fold, PastTheBudgetTheVerdictOfAReplayStays) {
  FoldBench bench({count_meter("calls", "api")});
  bench.receive(replayed("[]"));
  for (std::int64_t i = 1; i < core::kMaxRejectRowsPerCommit; ++i) {
    bench.add("[]", bench_time("08:00:00"));
  }
  const std::int64_t bytes = bench.plan.reject_bytes;
  bench.receive(replayed("[]"));
  EXPECT_TRUE(bench.plan.reject_overflow.empty());
  EXPECT_EQ(bench.plan.reject_bytes, bytes);
  ASSERT_EQ(static_cast<std::int64_t>(bench.plan.rejects.size()),
            core::kMaxRejectRowsPerCommit + 1);
  EXPECT_TRUE(bench.plan.rejects.front().has_bytes);
  EXPECT_EQ(bench.plan.rejects.front().key, "key");
  EXPECT_EQ(bench.plan.rejects.front().value, "[]");
  const RejectRow& row = bench.plan.rejects.back();
  EXPECT_FALSE(row.has_bytes);
  EXPECT_EQ(row.key + row.value + row.headers, "");
  EXPECT_EQ(row.partition, core::PartitionId(3));
  EXPECT_EQ(row.offset, core::Offset(7));
  EXPECT_EQ(row.reject_class, RejectClass::kRejected);
  EXPECT_EQ(row.reason, bench.plan.rejects.front().reason);
}

TEST(Fold, PastTheBudgetOfBytesTheVerdictOfAReplayStays) {
  FoldBench bench({count_meter("calls", "api")});
  const std::string large(core::kMaxRecordBytes, ' ');
  const auto fit = core::kMaxRejectBytesPerCommit / static_cast<std::int64_t>(large.size());
  for (std::int64_t i = 0; i < fit; ++i) bench.add(large, bench_time("08:00:00"));
  bench.receive(replayed(large));
  EXPECT_TRUE(bench.plan.reject_overflow.empty());
  EXPECT_FALSE(bench.plan.rejects.back().has_bytes);
  EXPECT_LE(bench.plan.reject_bytes, core::kMaxRejectBytesPerCommit);
}

// It was counted: no replay asks for what one of its meters could not read, and what it has of that
// meter may be its first, with bytes that stand nowhere.
TEST(Fold, PastTheBudgetAMeterOfACountedReplayIsOnlyCounted) {
  FoldBench bench({count_meter("calls", "api"), sum_meter("tokens", "api", "tokens")});
  for (std::int64_t i = 0; i < core::kMaxRejectRowsPerCommit; ++i) {
    bench.add("[]", bench_time("08:00:00"));
  }
  bench.receive(replayed(structured_event("r1", "acme", "api", "-", "{}")));
  EXPECT_EQ(bench.plan.ledger.begin()->second.readmitted, 1);
  EXPECT_EQ(static_cast<std::int64_t>(bench.plan.rejects.size()), core::kMaxRejectRowsPerCommit);
  ASSERT_EQ(bench.plan.reject_overflow.size(), 1U);
  EXPECT_EQ(bench.plan.reject_overflow[0].first, 7);
}

}  // namespace
}  // namespace tally::aggregator
