#include "aggregator/handoff.h"

#include "core/limits.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>

#include <stdexcept>

namespace tally::aggregator {
namespace {

using core::PartitionId;
using runtime::kafka::Header;
using runtime::kafka::Record;

FoldRules rules_of(std::int32_t partitions) {
  FoldRules rules = kBenchRules;
  rules.partitions = partitions;
  return rules;
}

std::string id_with_home(std::uint32_t home, std::uint32_t partitions) {
  for (int i = 0;; ++i) {
    std::string id = fmt::format("r{}", i);
    if (core::home_bits(id) % partitions == home) return id;
  }
}

std::string call(const std::string& id, std::string_view time = "-") {
  return structured_event(id, "acme", "api", time, "{}");
}

// The rows that a commit of this plan puts into tally.handoff for `home`.
std::vector<HandoffRow> rows_for(const BatchPlan& plan, PartitionId home) {
  std::vector<HandoffRow> rows;
  for (const auto& [way, handoff] : plan.handoffs) {
    if (way.second != home) continue;
    for (const auto& block : handoff.blocks) {
      const core::HandoffId id(static_cast<std::int64_t>(rows.size()) + 1);
      rows.push_back({id, block.records, block.bytes});
    }
  }
  return rows;
}

HandoffRow readmission(const std::string& value, core::Timestamp log_time) {
  Record record;
  record.partition = 0;
  record.offset = 7;
  record.log_time_ms = log_time.millis();
  record.value = value;
  HandoffRow row{core::HandoffId(1), 1, {}};
  append_handoff(record, Admission::kReadmitted, row.bytes);
  return row;
}

TEST(Handoff, EveryFieldComesBack) {
  const std::string value("a\0b", 3);
  const std::vector<Header> headers = {{"ce_id", "r1"}, {"", std::string_view("\0", 1)}};
  Record record;
  record.partition = 1023;
  record.offset = 1LL << 40;
  record.log_time_ms = 1'795'219'200'123;
  record.key = "key";
  record.value = value;
  record.headers = headers;
  std::string block;
  append_handoff(record, Admission::kReadmitted, block);
  append_handoff(Record{}, Admission::kLog, block);

  HandoffReader reader(block);
  const auto first = reader.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->admission, Admission::kReadmitted);
  EXPECT_EQ(first->record.partition, 1023);
  EXPECT_EQ(first->record.offset, 1LL << 40);
  EXPECT_EQ(first->record.log_time_ms, 1'795'219'200'123);
  EXPECT_EQ(first->record.key, "key");
  EXPECT_EQ(first->record.value, value);
  ASSERT_EQ(first->record.headers.size(), 2U);
  EXPECT_EQ(first->record.headers[0].value, "r1");
  EXPECT_EQ(first->record.headers[1].value, std::string_view("\0", 1));
  const auto second = reader.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->admission, Admission::kLog);
  EXPECT_TRUE(second->record.value.empty());
  EXPECT_FALSE(reader.next());
}

TEST(Handoff, ABlockThatIsCutAnywhereIsRefused) {
  Record record;
  record.value = "value";
  record.key = "key";
  std::string block;
  append_handoff(record, Admission::kLog, block);
  for (std::size_t size = 1; size < block.size(); ++size) {
    HandoffReader reader(std::string_view(block).substr(0, size));
    EXPECT_THROW(static_cast<void>(reader.next()), std::runtime_error) << size;
  }
}

TEST(Handoff, BlocksAreBounded) {
  const std::string value(100'000, 'x');
  Record record;
  record.value = value;
  HandoffBlocks blocks;
  for (int i = 0; i < 50; ++i) blocks.add(record, Admission::kLog);
  EXPECT_EQ(blocks.records, 50);
  EXPECT_GT(blocks.blocks.size(), 3U);
  std::int64_t records = 0;
  for (const auto& block : blocks.blocks) {
    EXPECT_LE(block.bytes.size(), core::kMaxHandoffBlockBytes + core::kMaxRecordBytes);
    records += block.records;
  }
  EXPECT_EQ(records, 50);
}

TEST(Handoff, AForeignRecordCountsOnceAtItsHome) {
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1));
  const std::string id = id_with_home(1, 2);
  EXPECT_EQ(name_of(source.add(call(id), bench_time("08:00:00"))), "handed_off");
  EXPECT_EQ(name_of(source.add(call(id), bench_time("08:00:01"))), "handed_off");
  EXPECT_EQ(source.state.memory.size(), 0U);
  expect_statement(source, R"(
    consumed 2 handed_off 2
  )");

  EXPECT_EQ(name_of(home.add(call(id), bench_time("09:00:00"))), "counted");
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  EXPECT_EQ(home.plan.taken.at(PartitionId(1)).size(), 1U);
  expect_statement(home, R"(
    consumed 1 received 2 counted 1 duplicate 2
    acme calls 2026-11-21T09:00 {} = 1 of 1
  )");
}

TEST(Handoff, TimeIsThatOfTheFirstLog) {
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1));
  source.add(call(id_with_home(1, 2)), bench_time("08:30:00"));
  home.add(call("nobody", "-"), bench_time("2+08:00:00"));
  home.start_new_plan();
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  // Without a time of its own the event happened when its record was appended: not 2 days later.
  const auto& [key, delta] = *home.plan.totals.usage.begin();
  EXPECT_EQ(key.start_seconds, bench_time("08:00:00").seconds());
  EXPECT_EQ(home.state.last_log_time, bench_time("2+08:00:00"));  // the clock never steps back
}

// A home whose clock had run days ahead forgot an identity, and counted a copy of it that had
// waited in another partition all the while (found by the simulator).
TEST(Handoff, ARecordThatWaitedLongerThanTheMemoryCanJudgeIsLate) {
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1));
  const std::string id = id_with_home(1, 2);
  source.add(call(id), bench_time("08:00:00"));
  EXPECT_EQ(name_of(home.add(call(id), bench_time("07:59:00"))), "counted");
  home.add(call("nobody", "-"), bench_time("40+08:00:00"));
  home.start_new_plan();
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  expect_statement(home, R"(
    consumed 0 received 1 late 1
    #0 late older_than_memory
  )");
}

TEST(Handoff, AHandoffMovesTheClockOfItsHome) {
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1));
  source.add(call(id_with_home(1, 2)), bench_time("3+08:00:00"));
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  EXPECT_EQ(home.plan.partitions.at(PartitionId(1)).last_log_time, bench_time("3+08:00:00"));
  EXPECT_EQ(home.plan.partitions.at(PartitionId(1)).next, core::Offset(0));
}

TEST(Handoff, AfterAGrowthItIsHandedOnToTheNewHome) {
  std::string id;
  for (int i = 0; id.empty(); ++i) {
    const std::string candidate = fmt::format("g{}", i);
    if (core::home_bits(candidate) % 2 == 1 && core::home_bits(candidate) % 4 == 3) id = candidate;
  }
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench old_home({count_meter("calls", "api")}, rules_of(4), 1, PartitionId(1));
  FoldBench new_home({count_meter("calls", "api")}, rules_of(4), 1, PartitionId(3));
  source.add(call(id), bench_time("08:00:00"));
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) old_home.receive(row);
  expect_statement(old_home, R"(
    consumed 0 received 1 handed_off 1
  )");
  for (const HandoffRow& row : rows_for(old_home.plan, PartitionId(3))) new_home.receive(row);
  expect_statement(new_home, R"(
    consumed 0 received 1 counted 1
    acme calls 2026-11-21T08:00 {} = 1 of 1
  )");
}

TEST(Handoff, AReadmittedRecordIsBoundByNeitherHorizonNorFuture) {
  FoldBench bench({count_meter("calls", "api")});
  bench.add(call("other"), bench_time("08:00:00"));
  bench.start_new_plan();
  const std::string late = call("late", "2026-01-01T00:00:00Z");
  bench.receive(readmission(late, bench_time("08:00:00")));
  bench.receive(readmission(late, bench_time("08:00:00")));
  bench.receive(readmission(call("early", "2026-11-22T00:00:00Z"), bench_time("08:00:00")));
  expect_statement(bench, R"(
    consumed 0 received 3 readmitted 2 duplicate 1
    acme calls 2026-01-01T00:00 {} = 1 of 1
    acme calls 2026-11-22T00:00 {} = 1 of 1
  )");
}

TEST(Handoff, AReadmittedRecordIsNotBoundByARaisedHorizon) {
  FoldRules rules = kBenchRules;
  rules.remembered_since = log_day_of(bench_time("00:00:00"));
  FoldBench bench({count_meter("calls", "api")}, rules);
  bench.receive(readmission(call("old", "2026-11-20T12:00:00Z"), bench_time("5+08:00:00")));
  expect_statement(bench, R"(
    consumed 0 received 1 readmitted 1
    acme calls 2026-11-20T12:00 {} = 1 of 1
  )");
}

TEST(Handoff, ARejectOfAReceivedRecordNamesWhereItWasRead) {
  FoldBench source({sum_meter("tokens", "llm", "tokens")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({sum_meter("tokens", "llm", "tokens")}, rules_of(2), 1, PartitionId(1));
  source.fold().skip_to(core::Offset(41), source.state, source.plan);
  source.add(structured_event(id_with_home(1, 2), "acme", "llm", "-", "{}"),
             bench_time("08:00:00"));
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  ASSERT_EQ(home.plan.rejects.size(), 1U);
  EXPECT_EQ(home.plan.rejects[0].partition, PartitionId(0));
  EXPECT_EQ(home.plan.rejects[0].offset, core::Offset(41));
}

TEST(Handoff, ARowThatHoldsOtherThanItSaysIsRefused) {
  FoldBench bench({count_meter("calls", "api")});
  HandoffRow row = readmission(call("a"), bench_time("08:00:00"));
  row.records = 2;
  EXPECT_THROW(bench.receive(row), std::runtime_error);
}

}  // namespace
}  // namespace tally::aggregator
