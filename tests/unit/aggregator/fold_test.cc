#include "tests/unit/aggregator/fold_bench.h"

#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <regex>

namespace tally::aggregator {
namespace {

using core::Decimal;
using core::FilterKind;

std::vector<core::Meter> tokens_and_calls() {
  return {grouped(sum_meter("tokens", "llm", "tokens"), {"model"}), count_meter("calls", "api")};
}

TEST(Fold, EachClass) {
  FoldBench bench({where(sum_meter("tokens", "llm", "tokens"), "status", FilterKind::kIn,
                         {std::string("ok")})});
  bench.check(R"(
    # log     time         id tenant type  data
    08:00:00  -            r1 acme   llm   {"tokens":10,"status":"ok"}    | counted
    08:00:01  -            r1 acme   llm   {"tokens":10,"status":"ok"}    | duplicate
    08:00:02  -            r1 acme   llm   {"tokens":11,"status":"ok"}    | conflict
    08:00:03  -            r2 acme   llm   {"tokens":10,"status":"error"} | filtered
    08:00:04  -            r2 acme   email {"tokens":10,"status":"ok"}    | unmetered
    08:00:05  -36+08:00:00 r3 acme   llm   {"tokens":10,"status":"ok"}    | late
    08:00:06  -            r4 acme   llm   {"tokens":-1,"status":"ok"}    | rejected
    08:00:07  09:00:00     r5 acme   llm   {"tokens":10,"status":"ok"}    | rejected
  )");
  expect_statement(bench, R"(
    consumed 8 counted 1 duplicate 1 conflict 1 late 1 rejected 2 unmetered 1 filtered 1
    acme tokens 2026-11-21T08:00 {} = 10 of 1
    #2 conflict other_content
    #5 late older_than_horizon
    #6 rejected value_negative
    #7 rejected time_in_future
  )");
}

TEST(Fold, PrecedenceOfClasses) {
  FoldBench bench({where(sum_meter("tokens", "llm", "tokens"), "status", FilterKind::kIn,
                         {std::string("ok")})});
  bench.check(R"(
    08:00:00 -            r1 acme llm   {"tokens":1,"status":"ok"}  | counted
    # in the future wins over unmetered, filtered and duplicate
    08:00:00 08:06:00     r1 acme email {}                          | rejected
    08:00:00 08:06:00     r1 acme llm   {"status":"no"}             | rejected
    08:00:00 08:06:00     r1 acme llm   {"tokens":1,"status":"ok"}  | rejected
    # unmetered and filtered win over late
    08:00:00 -40+08:00:00 r2 acme email {}                          | unmetered
    08:00:00 -40+08:00:00 r2 acme llm   {"tokens":1,"status":"no"}  | filtered
    # a filter that excludes wins over a value that is bad
    08:00:00 -            r2 acme llm   {"tokens":"x","status":"no"} | filtered
    # a bad value wins over duplicate and late
    08:00:00 -            r1 acme llm   {"status":"ok"}             | rejected
    08:00:00 -40+08:00:00 r2 acme llm   {"status":"ok"}             | rejected
    # duplicate and conflict win over late
    08:00:00 -40+08:00:00 r1 acme llm   {"tokens":1,"status":"ok"}  | duplicate
    08:00:00 -40+08:00:00 r1 acme llm   {"tokens":2,"status":"ok"}  | conflict
  )");
}

TEST(Fold, OnlyACountedRecordClaimsItsIdentity) {
  FoldBench bench({where(sum_meter("tokens", "llm", "tokens"), "status", FilterKind::kIn,
                         {std::string("ok")})});
  bench.check(R"(
    08:00:00 -            r1 acme llm {"tokens":1,"status":"error"} | filtered
    08:00:01 09:00:00     r1 acme llm {"tokens":1,"status":"ok"}    | rejected
    08:00:02 -            r1 acme llm {"tokens":"x","status":"ok"}  | rejected
    08:00:03 -40+08:00:00 r1 acme llm {"tokens":1,"status":"ok"}    | late
    08:00:04 -            r1 acme llm {"tokens":7,"status":"ok"}    | counted
    08:00:05 -            r1 acme llm {"tokens":7,"status":"ok"}    | duplicate
  )");
  ASSERT_EQ(bench.plan.segments.size(), 1U);
  EXPECT_EQ(bench.plan.segments.begin()->second.entries.size(), 1U);
  EXPECT_EQ(bench.state.memory.size(), 1U);
}

TEST(Fold, IdentityIsTenantSourceTypeAndId) {
  FoldBench bench({count_meter("calls", "api"), count_meter("chats", "chat")});
  bench.check(R"(
    08:00:00 - r1 acme api  {} | counted
    08:00:00 - r1 bolt api  {} | counted
    08:00:00 - r1 acme chat {} | counted
    08:00:00 - r2 acme api  {} | counted
    08:00:00 - r1 acme api  {} | duplicate
  )");
  std::string other = structured_event("r1", "acme", "api", "-", "{}");
  other.replace(other.find("\"source\":\"api\""), 14, "\"source\":\"web\"");
  EXPECT_EQ(name_of(bench.add(other, bench_time("08:00:01"))), "counted");
}

TEST(Fold, ARetryWithAnotherTimeIsADuplicate) {
  FoldBench bench(tokens_and_calls());
  bench.check(R"(
    08:59:59 08:59:59 r1 acme llm {"tokens":5,"model":"a"} | counted
    09:00:10 09:00:10 r1 acme llm {"tokens":5,"model":"a"} | duplicate
    09:00:11 -        r1 acme llm {"tokens":5.000,"model":"a"} | duplicate
    09:00:12 -        r1 acme llm {"tokens":5e0,"model":"a"} | duplicate
    09:00:13 -        r1 acme llm {"tokens":5,"model":"a","unread":1} | duplicate
    09:00:14 -        r1 acme llm {"tokens":5,"model":"b"} | conflict
  )");
}

// The client library stamps each event with its stream and its place in it (schemas/events).
TEST(Fold, StampsOfAStreamAreNoPartOfAnEvent) {
  FoldBench bench(tokens_and_calls());
  const auto stamped = [](std::string_view stamp, std::string_view tokens) {
    const std::string data = fmt::format(R"({{"tokens":{},"model":"a"}})", tokens);
    std::string event = structured_event("r1", "acme", "llm", "-", data);
    event.pop_back();
    return event + std::string(stamp) + "}";
  };
  constexpr std::string_view kFirst =
      R"(,"tallystream":"00112233445566778899aabbccddeeff","tallyseq":"1")";
  constexpr std::string_view kOther =
      R"(,"tallystream":"ffeeddccbbaa99887766554433221100","tallyseq":"18446744073709551615")";
  const auto when = bench_time("08:00:00");
  EXPECT_EQ(name_of(bench.add(stamped(kFirst, "5"), when)), "counted");
  EXPECT_EQ(name_of(bench.add(stamped(kOther, "5"), when)), "duplicate");
  EXPECT_EQ(name_of(bench.add(stamped("", "5"), when)), "duplicate");
  EXPECT_EQ(name_of(bench.add(stamped(kFirst, "6"), when)), "conflict");
}

TEST(Fold, FutureAndLateBoundsAreExactToTheMicrosecond) {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    08:00:00 2026-11-21T08:05:00Z        r1 acme api {} | counted
    08:00:00 2026-11-21T08:05:00.000001Z r2 acme api {} | rejected
    08:00:00 2026-10-17T08:00:00Z        r3 acme api {} | counted
    08:00:00 2026-10-17T07:59:59.999999Z r4 acme api {} | late
  )");
  expect_statement(bench, R"(
    consumed 4 counted 2 late 1 rejected 1
    acme calls 2026-10-17T08:00 {} = 1 of 1
    acme calls 2026-11-21T08:00 {} = 1 of 1
    #1 rejected time_in_future
    #3 late older_than_horizon
  )");
}

TEST(Fold, WithoutATimeTheLogsTimeCounts) {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    08:59:59 -        r1 acme api {} | counted
    09:00:00 -        r2 acme api {} | counted
    09:00:00 08:59:59 r3 acme api {} | counted
  )");
  expect_statement(bench, R"(
    consumed 3 counted 3
    acme calls 2026-11-21T08:00 {} = 2 of 2
    acme calls 2026-11-21T09:00 {} = 1 of 1
  )");
}

TEST(Fold, WindowsHaveTheMetersSize) {
  core::Meter minutes = count_meter("per_minute", "api");
  minutes.window = core::WindowSize::kMinute;
  core::Meter days = count_meter("per_day", "api");
  days.window = core::WindowSize::kDay;
  FoldBench bench({minutes, days});
  bench.check(R"(
    08:01:59 - r1 acme api {} | counted
    08:02:00 - r2 acme api {} | counted
    23:59:59 - r3 acme api {} | counted
    1+00:00:00 - r4 acme api {} | counted
  )");
  expect_statement(bench, R"(
    consumed 4 counted 4
    acme per_day 2026-11-21T00:00 {} = 3 of 3
    acme per_day 2026-11-22T00:00 {} = 1 of 1
    acme per_minute 2026-11-21T08:01 {} = 1 of 1
    acme per_minute 2026-11-21T08:02 {} = 1 of 1
    acme per_minute 2026-11-21T23:59 {} = 1 of 1
    acme per_minute 2026-11-22T00:00 {} = 1 of 1
  )");
}

TEST(Fold, FilterIn) {
  FoldBench bench({where(count_meter("calls", "api"), "x", FilterKind::kIn,
                         {std::string("ok"), Decimal::from_int(200), true, nullptr})});
  bench.check(R"(
    08:00:00 - a1 acme api {"x":"ok"}    | counted
    08:00:00 - a2 acme api {"x":200}     | counted
    08:00:00 - a3 acme api {"x":2.00e2}  | counted
    08:00:00 - a4 acme api {"x":true}    | counted
    08:00:00 - a5 acme api {"x":null}    | counted
    08:00:00 - b1 acme api {"x":"OK"}    | filtered
    08:00:00 - b2 acme api {"x":"200"}   | filtered
    08:00:00 - b3 acme api {"x":200.000000000001} | filtered
    08:00:00 - b4 acme api {"x":200.0000000000001} | filtered
    08:00:00 - b5 acme api {"x":false}   | filtered
    08:00:00 - b6 acme api {"x":"true"}  | filtered
    08:00:00 - b7 acme api {}            | filtered
    08:00:00 - b8 acme api {"x":["ok"]}  | filtered
  )");
}

TEST(Fold, FilterNotIn) {
  FoldBench bench({where(count_meter("calls", "api"), "x", FilterKind::kNotIn,
                         {std::string("error"), Decimal::from_int(500), true})});
  bench.check(R"(
    08:00:00 - a1 acme api {"x":"error"} | filtered
    08:00:00 - a2 acme api {"x":5e2}     | filtered
    08:00:00 - a3 acme api {"x":true}    | filtered
    08:00:00 - b1 acme api {"x":"ok"}    | counted
    08:00:00 - b2 acme api {"x":"500"}   | counted
    08:00:00 - b3 acme api {"x":false}   | counted
    08:00:00 - b4 acme api {}            | counted
    08:00:00 - b5 acme api {"x":null}    | counted
    08:00:00 - b6 acme api {"x":{}}      | counted
  )");
}

TEST(Fold, AllFiltersMustHold) {
  FoldBench bench({where(where(count_meter("calls", "api"), "x", FilterKind::kIn, {true}), "y",
                         FilterKind::kNotIn, {true})});
  bench.check(R"(
    08:00:00 - a1 acme api {"x":true}            | counted
    08:00:00 - a2 acme api {"x":true,"y":false}  | counted
    08:00:00 - b1 acme api {"x":true,"y":true}   | filtered
    08:00:00 - b2 acme api {"x":false}           | filtered
  )");
}

TEST(Fold, BadValuesOfTheOnlyMeterRejectTheRecord) {
  FoldBench bench({sum_meter("tokens", "llm", "tokens")});
  bench.check(R"(
    08:00:00 - r0 acme llm {}                                | rejected
    08:00:00 - r1 acme llm {"tokens":null}                   | rejected
    08:00:00 - r2 acme llm {"tokens":true}                   | rejected
    08:00:00 - r3 acme llm {"tokens":[1]}                    | rejected
    08:00:00 - r4 acme llm {"tokens":"ten"}                  | rejected
    08:00:00 - r5 acme llm {"tokens":"5"}                    | rejected
    08:00:00 - r6 acme llm {"tokens":-0.5}                   | rejected
    08:00:00 - r7 acme llm {"tokens":1e999999999999999999}   | rejected
    08:00:00 - r8 acme llm {"tokens":0.0000000000001}        | rejected
    08:00:00 - r9 acme llm {"tokens":1000000000000000000.000000000001} | rejected
    # exactly at the limit, and numbers that only look out of range
    08:00:00 - s0 acme llm {"tokens":1000000000000000000}    | counted
    08:00:00 - s1 acme llm {"tokens":1e18}                   | counted
    08:00:00 - s2 acme llm {"tokens":0.000000000001}         | counted
    08:00:00 - s3 acme llm {"tokens":0e999999999999999999}   | counted
    08:00:00 - s4 acme llm {"tokens":-0}                     | counted
    08:00:00 - s5 acme llm {"tokens":0.1}                    | counted
  )");
  expect_statement(bench, R"(
    consumed 16 counted 6 rejected 10
    acme tokens 2026-11-21T08:00 {} = 2000000000000000000.100000000001 of 6
    #0 rejected value_missing
    #1 rejected value_missing
    #2 rejected value_not_a_number
    #3 rejected value_not_a_number
    #4 rejected value_not_a_number
    #5 rejected value_not_a_number
    #6 rejected value_negative
    #7 rejected value_out_of_range
    #8 rejected value_out_of_range
    #9 rejected value_out_of_range
  )");
}

TEST(Fold, NegativeValuesWhereTheMeterAllowsThem) {
  core::Meter credits = sum_meter("credits", "llm", "amount");
  credits.allow_negative = true;
  FoldBench bench({credits});
  bench.check(R"(
    08:00:00 - r1 acme llm {"amount":-1e18}                    | counted
    08:00:00 - r2 acme llm {"amount":-2.5}                     | counted
    08:00:00 - r3 acme llm {"amount":-1000000000000000000.1}   | rejected
  )");
  expect_statement(bench, R"(
    consumed 3 counted 2 rejected 1
    acme credits 2026-11-21T08:00 {} = -1000000000000000002.5 of 2
    #2 rejected value_out_of_range
  )");
}

TEST(Fold, ABadValueIsAMeterRejectWhereAnotherMeterTookTheRecord) {
  FoldBench bench({sum_meter("tokens", "llm", "tokens"), count_meter("calls", "llm"),
                   latest_meter("seats", "llm", "seats")});
  bench.check(R"(
    08:00:00 - r1 acme llm {"tokens":3,"seats":2} | counted
    08:00:00 - r2 acme llm {"tokens":"x"}         | counted
    # the retry that was whole cannot be told from other content: the first stands
    08:00:00 - r2 acme llm {"tokens":3,"seats":2} | conflict
    08:00:00 - r2 acme llm {"tokens":"y"}         | duplicate
  )");
  expect_statement(bench, R"(
    consumed 4 counted 2 duplicate 1 conflict 1
    acme calls 2026-11-21T08:00 {} = 2 of 2
    acme seats 2026-11-21T08:00 {} = shows 2 at 08:00:00 of 1
    acme tokens 2026-11-21T08:00 {} = 3 of 1
    #1 meter value_missing seats
    #1 meter value_not_a_number tokens
    #2 conflict other_content
    bad seats 1
    bad tokens 1
  )");
}

TEST(Fold, DimensionsAreCanonicalText) {
  FoldBench bench({grouped(count_meter("calls", "api"), {"a", "b"})});
  bench.check(R"(
    08:00:00 - r1 acme api {"b":"x","a":"y"}         | counted
    08:00:00 - r2 acme api {"a":"y","b":"x"}         | counted
    08:00:00 - r3 acme api {"a":1.50,"b":true}       | counted
    08:00:00 - r4 acme api {"a":15e-1,"b":"true"}    | counted
    08:00:00 - r5 acme api {"b":null}                | counted
    08:00:00 - r6 acme api {"a":"","b":""}           | counted
    08:00:00 - r7 acme api {"a":"\u0022\\\n","b":0}  | counted
    08:00:00 - r8 acme api {"a":{},"b":0}            | rejected
    08:00:00 - r9 acme api {"a":"\u0000","b":0}      | rejected
    08:00:00 - s0 acme api {"a":1e99,"b":0}          | rejected
  )");
  expect_statement(bench, R"(
    consumed 10 counted 7 rejected 3
    acme calls 2026-11-21T08:00 {"a":"","b":""} = 2 of 2
    acme calls 2026-11-21T08:00 {"a":"1.5","b":"true"} = 2 of 2
    acme calls 2026-11-21T08:00 {"a":"\"\\\u000a","b":"0"} = 1 of 1
    acme calls 2026-11-21T08:00 {"a":"y","b":"x"} = 2 of 2
    #7 rejected dimension_not_scalar
    #8 rejected dimension_not_scalar
    #9 rejected dimension_not_scalar
  )");
}

TEST(Fold, ADimensionsLengthIsBounded) {
  FoldBench bench({grouped(count_meter("calls", "api"), {"a"})});
  const std::string fits(core::kMaxDimensionValueBytes, 'x');
  const auto event = [](const std::string& id, const std::string& a) {
    return structured_event(id, "acme", "api", "-", fmt::format(R"({{"a":"{}"}})", a));
  };
  EXPECT_EQ(name_of(bench.add(event("r1", fits), bench_time("08:00:00"))), "counted");
  EXPECT_EQ(name_of(bench.add(event("r2", fits + "x"), bench_time("08:00:00"))), "rejected");
  EXPECT_EQ(bench.plan.rejects.at(0).reason, "dimension_too_long");
}

TEST(Fold, AGaugeShowsItsLastReadingWhateverTheOrder) {
  struct Reading {
    const char* time;
    const char* id;
    int value;
  };
  // Three of the same moment: the tie must break alike in every order.
  const std::vector<Reading> readings = {{"08:10:00", "g1", 5},
                                         {"08:20:00", "g2", 7},
                                         {"08:20:00", "g3", 8},
                                         {"08:20:00", "g4", 9},
                                         {"08:15:00", "g5", 100}};
  std::vector<std::size_t> order(readings.size());
  std::iota(order.begin(), order.end(), 0U);
  std::string first;
  int orders = 0;
  do {
    FoldBench bench({latest_meter("seats", "team", "seats")});
    for (const std::size_t i : order) {
      const Reading& reading = readings[i];
      bench.add(
          structured_event(reading.id, "acme", "team", core::to_rfc3339(bench_time(reading.time)),
                           fmt::format(R"({{"seats":{}}})", reading.value)),
          bench_time("08:30:00"));
    }
    if (first.empty()) first = bench.statement();
    ASSERT_EQ(bench.statement(), first);
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(orders, 120);
  EXPECT_NE(first.find(" at 08:20:00 of 5"), std::string::npos) << first;
}

TEST(Fold, AfterACatalogueChangeARetryIsADuplicateThatCannotBeCompared) {
  FoldBench bench({sum_meter("tokens", "llm", "tokens")}, kBenchRules, 1);
  bench.check("08:00:00 - r1 acme llm {\"tokens\":1} | counted");
  bench.change_catalogue({sum_meter("tokens", "llm", "tokens"), count_meter("chats", "llm")}, 2);
  bench.start_new_plan();
  bench.check(R"(
    08:00:01 - r1 acme llm {"tokens":1} | duplicate
    08:00:02 - r1 acme llm {"tokens":9} | duplicate
    08:00:03 - r2 acme llm {"tokens":4} | counted
    08:00:04 - r2 acme llm {"tokens":4} | duplicate
    08:00:05 - r2 acme llm {"tokens":5} | conflict
  )");
  expect_statement(bench, R"(
    consumed 5 counted 1 duplicate 3 unverifiable 2 conflict 1
    acme chats 2026-11-21T08:00 {} = 1 of 1
    acme tokens 2026-11-21T08:00 {} = 4 of 1
    #5 conflict other_content
  )");
}

TEST(Fold, AnIdentityIsForgottenOnlyAfterTheHorizon) {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    08:00:00    - r1 acme api {} | counted
    35+08:00:00 - r1 acme api {} | duplicate
    37+23:59:59 - r1 acme api {} | duplicate
    38+00:00:00 - r1 acme api {} | counted
    38+00:00:01 - r1 acme api {} | duplicate
  )");
}

TEST(Fold, ABrokerClockThatStepsBackChangesNothing) {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    1+00:00:05 -        r1 acme api {} | counted
    23:59:58   -        r1 acme api {} | duplicate
    23:59:59   -        r2 acme api {} | counted
    23:59:59   1+00:05:00 r3 acme api {} | rejected
  )");
  // The claim goes under the newest day, the ledger under the record's own.
  EXPECT_EQ(bench.plan.segments.size(), 1U);
  EXPECT_EQ(bench.plan.ledger.size(), 2U);
  EXPECT_EQ(bench.plan.partitions.at(core::PartitionId(0)).last_log_time, bench_time("1+00:00:05"));
}

TEST(Fold, GapsAreSkippedOffsets) {
  FoldBench bench({count_meter("calls", "api")});
  bench.add_at(5, structured_event("r1", "acme", "api", "-", "{}"), bench_time("08:00:00"));
  bench.add_at(6, structured_event("r2", "acme", "api", "-", "{}"), bench_time("08:00:00"));
  bench.add_at(9, structured_event("r3", "acme", "api", "-", "{}"), bench_time("08:00:00"));
  bench.fold().skip_to(core::Offset(12), bench.state, bench.plan);
  bench.fold().skip_to(core::Offset(12), bench.state, bench.plan);
  expect_statement(bench, R"(
    consumed 3 counted 3 skipped 9
    acme calls 2026-11-21T08:00 {} = 3 of 3
  )");
  const PartitionAdvance& advance = bench.plan.partitions.at(core::PartitionId(0));
  EXPECT_EQ(advance.start, core::Offset(0));
  EXPECT_EQ(advance.next, core::Offset(12));
  EXPECT_EQ(advance.last_offset, core::Offset(9));
  check_conservation(bench.plan);
}

TEST(Fold, ThePlanSaysWhatWasStoredAtItsStart) {
  FoldBench bench({count_meter("calls", "api")});
  bench.state.stored_segments = 200;
  bench.check("08:00:00 - r1 acme api {} | counted");
  EXPECT_EQ(bench.plan.partitions.at(core::PartitionId(0)).stored_segments, 200);
}

TEST(Fold, LostOffsetsAreSaid) {
  FoldBench bench({count_meter("calls", "api")});
  bench.fold().lose_to(core::Offset(100), bench.state, bench.plan);
  bench.check("08:00:00 - r1 acme api {} | counted");
  expect_statement(bench, R"(
    consumed 1 counted 1 lost 100
    acme calls 2026-11-21T08:00 {} = 1 of 1
  )");
  ASSERT_EQ(bench.plan.lost.size(), 1U);
  EXPECT_EQ(bench.plan.lost[0].first, 0);
  EXPECT_EQ(bench.plan.lost[0].last, 99);
}

TEST(Fold, ARejectKeepsTheRecordsBytes) {
  FoldBench bench({count_meter("calls", "api")});
  const std::string value("{\"specversion\":\"1.0\",\0 nonsense", 31);
  bench.add(value, bench_time("08:00:00"));
  ASSERT_EQ(bench.plan.rejects.size(), 1U);
  EXPECT_EQ(bench.plan.rejects[0].value, value);
  EXPECT_EQ(bench.plan.rejects[0].log_time, bench_time("08:00:00"));
}

TEST(FoldDeathTest, AnOffsetBelowThePositionIsABug) {
  FoldBench bench({count_meter("calls", "api")});
  bench.add_at(5, "[]", bench_time("08:00:00"));
  EXPECT_DEATH(bench.add_at(5, "[]", bench_time("08:00:00")), "below the position");
}

// Finance must be able to tell which identity it was, and that the contents differ.
TEST(Fold, AConflictNamesTheIdentityAndBothFingerprints) {
  FoldBench bench({sum_meter("tokens", "llm", "tokens")});
  const auto add = [&](std::string_view data) {
    bench.add(structured_event("r1", "acme", "llm", "-", data), bench_time("08:00:00"));
  };
  add(R"({"tokens":1})");
  add(R"({"tokens":2})");
  add(R"({"tokens":3})");
  ASSERT_EQ(bench.plan.rejects.size(), 2U);
  std::vector<std::smatch> found(2);
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(std::regex_search(
        bench.plan.rejects[i].detail, found[i],
        std::regex("identity ([0-9a-f]{28}), content ([0-9a-f]{3}) counted, ([0-9a-f]{3}) here")))
        << bench.plan.rejects[i].detail;
  }
  EXPECT_EQ(found[0].str(1), found[1].str(1));
  EXPECT_EQ(found[0].str(2), found[1].str(2));  // the first stands
  EXPECT_NE(found[0].str(2), found[0].str(3));
  EXPECT_NE(found[1].str(2), found[1].str(3));
}

}  // namespace
}  // namespace tally::aggregator
