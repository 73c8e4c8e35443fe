#include "aggregator/handoff.h"

#include "aggregator/span_totals.h"
#include "core/limits.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <utility>

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

HandoffRow readmission(const std::string& value, core::Timestamp log_time,
                       Admission admission = Admission::kReadmitted) {
  Record record;
  record.partition = 0;
  record.offset = 7;
  record.log_time_ms = log_time.millis();
  record.value = value;
  HandoffRow row{core::HandoffId(1), 1, {}};
  append_handoff(record, admission, row.bytes);
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
  for (int i = 0; i < 50; ++i) {
    // The last day is that of the latest record, wherever it stands.
    record.log_time_ms = bench_time(i % 2 == 0 ? "3+00:00:00" : "2+23:59:59").millis();
    blocks.add(record, Admission::kLog);
  }
  EXPECT_EQ(blocks.records, 50);
  EXPECT_GT(blocks.blocks.size(), 3U);
  std::int64_t records = 0;
  for (const auto& block : blocks.blocks) {
    EXPECT_LE(block.bytes.size(), core::kMaxHandoffBlockBytes + core::kMaxRecordBytes);
    EXPECT_EQ(block.last_day, log_day_of(bench_time("3+00:00:00")));
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
  home.add(call("nobody", "-"), bench_time("1+08:00:00"));
  home.start_new_plan();
  for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  // Without a time of its own the event happened when its record was appended: not a day later.
  const auto& [key, delta] = *home.plan.totals.usage.begin();
  EXPECT_EQ(key.start_seconds, bench_time("08:00:00").seconds());
  EXPECT_EQ(home.state.last_log_time, bench_time("1+08:00:00"));  // the clock never steps back
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

// A partition, and the home of what it reads.
struct SourceAndHome {
  FoldBench source{{count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0)};
  FoldBench home{{count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1)};

  // The home's plan holds what was handed off and nothing else, and its clock stands at `clock`.
  void receive_at(std::string_view clock) {
    home.add(call("nobody"), bench_time(clock));
    home.start_new_plan();
    for (const HandoffRow& row : rows_for(source.plan, PartitionId(1))) home.receive(row);
  }
};

// The first copy was as far ahead of its log as may be, the second as far behind as counts: 35 days
// and 10 minutes lie between them. The home's clock was two days ahead of the second, had forgotten
// the first, and counted both.
TEST(Handoff, WhatTheMemoryHasToSpareIsOneDay) {
  for (const bool forgotten : {false, true}) {
    SourceAndHome pair;
    const std::string event = call(id_with_home(1, 2), "2026-11-22T00:03:30Z");
    EXPECT_EQ(name_of(pair.home.add(event, bench_time("23:58:30"))), "counted");
    pair.source.add(event, bench_time("36+00:03:00"));
    pair.receive_at(forgotten ? "38+00:00:00" : "37+23:59:59");
    expect_statement(pair.home, forgotten ? R"(
      consumed 0 received 1 late 1
      #0 late older_than_memory
    )"
                                          : R"(
      consumed 0 received 1 duplicate 1
    )");
  }
}

void expect_late(SourceAndHome& pair) {
  expect_statement(pair.home, R"(
      consumed 0 received 1 late 1
      #0 late older_than_memory
    )");
}

void expect_counted(SourceAndHome& pair) {
  expect_statement(pair.home, R"(
      consumed 0 received 1 counted 1
      acme calls 2026-11-21T00:00 {} = 1 of 1
    )");
}

// The other side of that edge: a day of lag is judged, and what was never seen counts.
TEST(Handoff, ARecordThatWaitedADayCounts) {
  for (const bool too_long : {false, true}) {
    SourceAndHome pair;
    pair.source.add(call(id_with_home(1, 2)), bench_time("00:00:00"));
    pair.receive_at(too_long ? "2+00:00:00" : "1+23:59:59");
    too_long ? expect_late(pair) : expect_counted(pair);
  }
}

// Its home remembers so much longer as a partition lags behind it, within bounds.
TEST(Handoff, ARecordOfALaggingPartitionCounts) {
  for (const bool too_long : {false, true}) {
    SourceAndHome pair;
    pair.home.state.slowest_day = log_day_of(bench_time("00:00:00"));
    pair.source.add(call(id_with_home(1, 2)), bench_time("00:00:00"));
    pair.receive_at(too_long ? "16+00:00:00" : "15+23:59:59");
    too_long ? expect_late(pair) : expect_counted(pair);
  }
}

// A partition that a growth made loads what others remember before it has a clock of its own: the
// claim of a record from before all that ended the process, and every heir's.
TEST(Handoff, APartitionWithoutAClockTakesAnOldReplay) {
  FoldBench bench({count_meter("calls", "api")});
  const LogDay newest = log_day_of(bench_time("60+00:00:00"));
  bench.state.memory.advance(newest);
  bench.receive(readmission(call("old"), bench_time("08:00:00"), Admission::kReadmittedUnchecked));
  ASSERT_EQ(bench.plan.segments.size(), 1U);
  EXPECT_EQ(bench.plan.segments.begin()->first.second, newest - remembered_days(kBenchRules));
  bench.receive(readmission(call("old"), bench_time("08:00:00"), Admission::kReadmittedUnchecked));
  expect_statement(bench, R"(
    consumed 0 received 2 readmitted 1 duplicate 1
    acme calls 2026-11-21T08:00 {} = 1 of 1
  )");
}

// Promise P8: what a plan holds is bounded by bytes, whatever a producer puts into headers.
TEST(Handoff, TheBytesOfAPlanAreAllThatIsHandedOff) {
  const std::string large(10'000, 'h');
  runtime::kafka::Record record;
  record.key = "k";
  record.value = "{}";
  const std::vector<runtime::kafka::Header> headers = {{"trace", large}};
  record.headers = headers;
  HandoffBlocks blocks;
  EXPECT_GT(blocks.add(record, Admission::kLog), 10'000);
  FoldBench source({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  for (int i = 0; i < 3; ++i)
    source.add(call(id_with_home(1, 2) + std::to_string(i)), bench_time("08:00:00"));
  std::int64_t bytes = 0;
  for (const auto& [way, handed] : source.plan.handoffs) {
    for (const auto& block : handed.blocks) bytes += static_cast<std::int64_t>(block.bytes.size());
  }
  EXPECT_GT(bytes, 0);
  EXPECT_EQ(source.plan.handoff_bytes, bytes);
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
  const std::string late = call("late", "2026-10-16T00:00:00Z");
  bench.receive(readmission(late, bench_time("08:00:00")));
  bench.receive(readmission(late, bench_time("08:00:00")));
  bench.receive(readmission(call("early", "2026-11-22T00:00:00Z"), bench_time("08:00:00")));
  expect_statement(bench, R"(
    consumed 0 received 3 readmitted 2 duplicate 1
    acme calls 2026-10-16T00:00 {} = 1 of 1
    acme calls 2026-11-22T00:00 {} = 1 of 1
  )");
}

TEST(Handoff, AReadmittedRecordOfBeforeARaisedHorizonIsLateAgain) {
  for (const bool unchecked : {false, true}) {
    FoldBench bench({count_meter("calls", "api")});
    bench.state.dropped_before = log_day_of(bench_time("00:00:00"));
    bench.receive(
        readmission(call("old", "2026-11-21T23:59:59Z"), bench_time("5+08:00:00"),
                    unchecked ? Admission::kReadmittedUnchecked : Admission::kReadmitted));
    bench.receive(readmission(call("new", "2026-11-22T00:00:00Z"), bench_time("5+08:00:00")));
    expect_statement(bench, unchecked ? R"(
      consumed 0 received 2 readmitted 2
      acme calls 2026-11-21T23:00 {} = 1 of 1
      acme calls 2026-11-22T00:00 {} = 1 of 1
    )"
                                      : R"(
      consumed 0 received 2 readmitted 1 late 1
      acme calls 2026-11-22T00:00 {} = 1 of 1
      #7 late older_than_memory
    )");
  }
}

// The future bound was a day once, and the first copy came under it; lowered to the bench's 300 s,
// the check of a replay knew nothing of that, and counted both.
TEST(Handoff, AReplayIsCheckedForWhatALargerFutureBoundLetIn) {
  FoldBench bench({count_meter("calls", "api")});
  bench.add(call("other"), bench_time("37+00:00:00"));
  bench.start_new_plan();
  bench.receive(readmission(call("r1", "2026-11-21T23:00:00Z"), bench_time("36+00:00:00")));
  expect_statement(bench, R"(
    consumed 0 received 1 late 1
    #7 late older_than_memory
  )");
}

// It was replayed in time, then waited while its home's clock ran on and forgot what could have
// been counted when it came: it was counted all the same.
TEST(Handoff, AReadmittedRecordThatWaitedPastTheMemoryIsLateAgain) {
  struct Row {
    std::string_view clock;
    Admission admission;
    std::string_view statement;
  };
  const std::string_view counted = R"(
    consumed 0 received 1 readmitted 1
    acme calls 2026-11-21T08:00 {} = 1 of 1
  )";
  const std::string_view late = R"(
    consumed 0 received 1 late 1
    #7 late older_than_memory
  )";
  const std::vector<Row> rows = {
      {"36+23:59:59", Admission::kReadmitted, counted},
      {"37+00:00:00", Admission::kReadmitted, late},
      {"37+00:00:00", Admission::kReadmittedUnchecked, counted},
      {"400+00:00:00", Admission::kReadmitted, late},
      {"400+00:00:00", Admission::kReadmittedUnchecked, counted},
  };
  for (const Row& row : rows) {
    FoldBench bench({count_meter("calls", "api")});
    bench.add(call("other"), bench_time(row.clock));
    bench.start_new_plan();
    bench.receive(
        readmission(call("late", "2026-11-21T08:00:00Z"), bench_time("08:00:00"), row.admission));
    SCOPED_TRACE(row.clock);
    expect_statement(bench, row.statement);
  }
}

TEST(Handoff, AReadmissionThatIsHandedOnStaysUnchecked) {
  FoldBench old_home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(0));
  FoldBench home({count_meter("calls", "api")}, rules_of(2), 1, PartitionId(1));
  const std::string event = call(id_with_home(1, 2), "2026-01-01T00:00:00Z");
  old_home.receive(readmission(event, bench_time("08:00:00"), Admission::kReadmittedUnchecked));
  home.add(call("nobody"), bench_time("90+08:00:00"));
  home.start_new_plan();
  for (const HandoffRow& row : rows_for(old_home.plan, PartitionId(1))) home.receive(row);
  expect_statement(home, R"(
    consumed 0 received 1 readmitted 1
    acme calls 2026-01-01T00:00 {} = 1 of 1
  )");
}

// One replayed record of 1970-01-01, and every aggregator of a tenant in Berlin ended whenever it
// was folded: the day begins before 1970, which cannot be written.
TEST(Handoff, AReadmittedRecordAtTheEdgesOfTimeEndsNothing) {
  const std::vector<std::pair<std::string_view, std::string_view>> times = {
      {"1970-01-01T00:00:00Z", "rejected"},   {"1970-12-31T23:59:59.999999Z", "rejected"},
      {"1971-01-01T00:00:00Z", "readmitted"}, {"9998-12-31T23:59:59.999999Z", "readmitted"},
      {"9999-01-01T00:00:00Z", "rejected"},   {"9999-12-31T23:59:59Z", "rejected"}};
  for (const char* zone : {"UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York",
                           "Pacific/Kiritimati", "Etc/GMT+12"}) {
    const auto tenants = std::make_shared<const TenantBook>(TenantBook::Calendars{
        {"acme", core::Calendar(core::TimeZone::load(zone).value(), {}, core::Payment::kNone)}});
    for (const auto& [time, expected] : times) {
      SCOPED_TRACE(fmt::format("{} {}", zone, time));
      FoldBench bench({count_meter("calls", "api")});
      bench.know(tenants);
      for (const char* id : {"r1", "r2"}) {
        bench.receive(
            readmission(call(id, time), bench_time("08:00:00"), Admission::kReadmittedUnchecked));
      }
      EXPECT_NE(bench.statement().find(fmt::format(" {} 2", expected)), std::string::npos)
          << bench.statement();
      // What the commit writes.
      for (const auto& [key, delta] : span_totals(PlanRows(bench.plan.totals)).usage) {
        EXPECT_FALSE(core::to_rfc3339(core::Timestamp::from_seconds(key.start_seconds)).empty());
        EXPECT_FALSE(core::to_rfc3339(core::Timestamp::from_seconds(key.end_seconds)).empty());
      }
      if (expected == "rejected") {
        ASSERT_EQ(bench.plan.rejects.size(), 2U);
        EXPECT_EQ(bench.plan.rejects[0].reason, "bad_time");
        EXPECT_NE(bench.plan.rejects[0].detail.find("1971 to 9998"), std::string::npos);
      }
    }
  }
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
