#include "tests/bench/stages/report.h"

#include "tests/bench/stages/stage.h"

#include <gtest/gtest.h>

#include <utility>

namespace tally::bench {
namespace {

Figure figure(std::string name, double allocations) {
  return {.name = std::move(name), .baseline = kMemcpy, .allocations_per_event = allocations};
}

// One repetition of a benchmark, as google-benchmark reports it.
benchmark::BenchmarkReporter::Run run_of(const std::string& name, std::int64_t place,
                                         double seconds, double allocations) {
  benchmark::BenchmarkReporter::Run run;
  run.run_name.function_name = name;
  run.family_index = place;
  run.report_label = kMemcpy;
  run.cpu_accumulated_time = seconds;
  run.real_accumulated_time = 9 * seconds;
  run.counters[kEvents] = 1'000;
  run.counters[kAllocations] = allocations;
  run.counters[kHeapBytes] = 8 * allocations;
  return run;
}

TEST(StagesReport, TheBarIsHeldByTheWorstOfTheSteadyPathAlone) {
  const Bar bar = bar_of({figure("decode/structured", 9), figure("fold/distinct", 0.02),
                          figure("fold/duplicates", 0.1), figure("fold/distinct_binary", 0.03),
                          figure("new_windows/fold", 7)});
  EXPECT_TRUE(bar.measured);
  EXPECT_EQ(bar.of, "fold/duplicates");
  EXPECT_EQ(bar.worst, 0.1);
  EXPECT_TRUE(bar.held());
  EXPECT_FALSE(bar_of({figure("fold/distinct", 0.101), figure("fold/duplicates", 0)}).held());
}

TEST(StagesReport, AMissedBarAndAFailureAreExitCodeOne) {
  const Bar good = bar_of({figure("fold/distinct", 0.1)});
  EXPECT_EQ(verdict_of({}, good).exit_code, 0);
  EXPECT_NE(verdict_of({}, good).sentence.find("0.1000 heap allocations"), std::string::npos);
  const Verdict missed = verdict_of({}, bar_of({figure("fold/distinct", 0.2)}));
  EXPECT_EQ(missed.exit_code, 1);
  EXPECT_NE(missed.sentence.find("(fold/distinct); the bar is 0.1: MISSED"), std::string::npos);
  EXPECT_EQ(verdict_of({"commit/1k_windows: there is no Postgres"}, good).exit_code, 1);
}

TEST(StagesReport, WithoutTheSteadyPathThereIsNoVerdictOnIt) {
  const Bar bar = bar_of({figure("decode/structured", 9)});
  EXPECT_FALSE(bar.measured);
  EXPECT_NE(verdict_of({}, bar).sentence.find("was not run"), std::string::npos);
}

TEST(StagesReport, AFigureIsTheMedianTimeAndTheMostAllocationsOfAnEvent) {
  Report report;
  report.ReportRuns({run_of("baseline/memcpy", 0, 2e-6, 0)});
  report.ReportRuns({run_of("fold/distinct", 1, 8e-6, 5), run_of("fold/distinct", 1, 4e-6, 200),
                     run_of("fold/distinct", 1, 99e-6, 5)});
  const auto figures = report.figures();
  ASSERT_EQ(figures.size(), 2);
  EXPECT_EQ(figures[1].name, "fold/distinct");
  EXPECT_DOUBLE_EQ(figures[1].ns_per_event, 8);
  EXPECT_DOUBLE_EQ(figures[1].allocations_per_event, 0.2);
  EXPECT_DOUBLE_EQ(figures[1].bytes_per_event, 1.6);
  EXPECT_DOUBLE_EQ(figures[1].ratio, 4);
}

TEST(StagesReport, TheTableIsMarkdownWithALineForEachStage) {
  Figure fold = figure("fold/distinct", 0.0007);
  fold.ns_per_event = 840.26;
  fold.bytes_per_event = 56.5;
  fold.ratio = 47.4;
  EXPECT_EQ(
      table_of({fold}),
      "| stage         | ns an event |  allocations an event | heap bytes an event | times its "
      "baseline |\n"
      "|---------------|------------:|----------------------:|--------------------:|---------------"
      "-----|\n"
      "| fold/distinct |       840.3 |                0.0007 |                56.5 | 47.40 memcpy  "
      "     "
      "|\n");
}

TEST(StagesReport, ACommitIsTimedByTheClock) {
  auto run = run_of("commit/1k_windows", 1, 1e-6, 0);
  run.counters[kWallTime] = 1;
  Report report;
  report.ReportRuns({run_of("baseline/memcpy", 0, 1e-6, 0)});
  report.ReportRuns({run});
  EXPECT_DOUBLE_EQ(report.figures().at(1).ns_per_event, 9);
}

}  // namespace
}  // namespace tally::bench
