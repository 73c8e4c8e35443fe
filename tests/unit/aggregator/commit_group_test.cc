#include "aggregator/commit_group.h"

#include "core/check.h"
#include "core/limits.h"
#include "runtime/metrics/metrics.h"
#include "tests/unit/aggregator/scripted_store.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {
namespace {

using namespace std::chrono_literals;

struct Bench {
  explicit Bench(std::deque<Step> steps) { script.steps = std::move(steps); }
  Script script;
  runtime::metrics::Registry registry;
  Probe probe{registry, "0"};
  CommitThread thread{std::make_unique<ScriptedStore>(script), 30s};
  std::unique_ptr<Committer> committer = thread.join(probe);

  PlanFate fate_of_one() {
    EXPECT_FALSE(committer->busy());
    committer->submit(some_plan());
    EXPECT_TRUE(committer->busy());
    const auto report = committer->take_report(30s);
    TALLY_CHECK(report.has_value(), "no report: {}", script.asked());
    EXPECT_EQ(report->plan->records, 42);
    EXPECT_FALSE(committer->busy());
    return report->fate;
  }
  // What follows a commit is done after its session was told.
  void await_asked(const std::string& end) {
    while (!script.asked().ends_with(end)) (void)committer->take_report(1ms);
  }
  bool complains() { return !probe.reasons(Probe::Clock::now(), 1h).empty(); }
};

struct Case {
  const char* name;
  std::deque<Step> steps;
  PlanFate fate;
  const char* calls;
};

TEST(CommitGroup, NeverASecondCommitWithoutAResolve) {
  const std::vector<Case> cases = {
      {"plain", {Step::kCommitted}, PlanFate::kCommitted, "commit"},
      {"fenced", {Step::kFenced}, PlanFate::kFenced, "commit"},
      {"catalogue", {Step::kCatalogueMoved}, PlanFate::kCatalogueMoved, "commit"},
      {"in doubt, was committed",
       {Step::kInDoubt, Step::kResolvedCommitted},
       PlanFate::kConnectionBroke,
       "commit resolve"},
      {"in doubt, was not",
       {Step::kInDoubt, Step::kResolvedNotCommitted},
       PlanFate::kConnectionBroke,
       "commit resolve"},
      {"in doubt, another owner came",
       {Step::kInDoubt, Step::kResolvedFenced},
       PlanFate::kFenced,
       "commit resolve"},
      {"away, then still away while resolving",
       {Step::kUnavailable, Step::kUnavailable, Step::kInDoubt, Step::kResolvedNotCommitted},
       PlanFate::kConnectionBroke,
       "commit resolve resolve resolve"},
      {"refused twice, then in doubt",
       {Step::kRefused, Step::kResolvedNotCommitted, Step::kRefused, Step::kResolvedNotCommitted,
        Step::kInDoubt, Step::kResolvedCommitted},
       PlanFate::kConnectionBroke,
       "commit resolve commit resolve commit resolve"},
      {"refused, then through",
       {Step::kRefused, Step::kResolvedNotCommitted, Step::kCommitted},
       PlanFate::kCommitted,
       "commit resolve commit"},
      {"refused",
       {Step::kRefused, Step::kResolvedNotCommitted, Step::kFenced},
       PlanFate::kFenced,
       "commit resolve commit"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Bench bench(one.steps);
    EXPECT_EQ(bench.fate_of_one(), one.fate);
    EXPECT_EQ(bench.script.asked(), one.calls);
    EXPECT_TRUE(bench.script.steps.empty());
  }
}

TEST(CommitGroup, TakesOnePlanAfterTheOther) {
  Bench bench({Step::kCommitted, Step::kRefused, Step::kResolvedCommitted, Step::kCommitted});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bench.fate_of_one(), PlanFate::kCommitted);
  EXPECT_EQ(bench.script.asked(), "commit commit resolve commit");
  EXPECT_EQ(bench.committer->take_report(0ms), std::nullopt);
}

TEST(CommitGroup, RollsUpAfterEnoughSegmentsAndDropsDaysWhenANewOneBegins) {
  Bench bench(std::deque<Step>(core::kSegmentsPerRollUp, Step::kCommitted));
  for (std::int64_t i = 0; i < core::kSegmentsPerRollUp; ++i) {
    bench.committer->submit(claiming_plan(i == 0 ? 19'000 : 19'001));
    ASSERT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kCommitted);
  }
  bench.await_asked("roll_up:0");
  const std::string asked = bench.script.asked();
  EXPECT_EQ(asked.find("commit drop_expired commit drop_expired commit"), 0U) << asked;
  EXPECT_EQ(asked.find("drop_expired", asked.find("drop_expired") + 20),
            asked.rfind("drop_expired"));
  EXPECT_EQ(asked.find("roll_up:0"), asked.rfind("roll_up:0"));
}

// Sessions may end more often than one of them writes enough.
TEST(CommitGroup, RollsUpWhatEarlierSessionsLeft) {
  Bench bench(std::deque<Step>(4, Step::kCommitted));
  for (int i = 0; i < 4; ++i) {
    auto plan = claiming_plan(19'000);
    plan->partitions.at(core::PartitionId(0)).stored_segments = core::kSegmentsPerRollUp - 2;
    bench.committer->submit(std::move(plan));
    ASSERT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kCommitted);
  }
  EXPECT_EQ(bench.script.asked(), "commit drop_expired commit roll_up:0 commit commit");
}

// All four are in each commit.
TEST(CommitGroup, RollsUpThePartitionsOfAProcessFarFromEachOther) {
  Bench bench(std::deque<Step>(core::kSegmentsPerRollUp, Step::kCommitted));
  for (std::int64_t i = 0; i < core::kSegmentsPerRollUp; ++i) {
    auto plan = claiming_plan(19'000);
    const PartitionAdvance advance = plan->partitions.at(core::PartitionId(0));
    for (const core::PartitionId id :
         {core::PartitionId(1), core::PartitionId(2), core::PartitionId(3)}) {
      plan->partitions.emplace(id, advance);
      plan->segments[{id, 19'000}].entries.resize(1);
    }
    bench.committer->submit(std::move(plan));
    ASSERT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kCommitted);
  }
  bench.await_asked("roll_up:0");
  const std::string asked = bench.script.asked();
  for (const char* first : {"roll_up:1", "roll_up:2", "roll_up:3"}) {
    EXPECT_NE(asked.find(std::string(first) + " together together together"), std::string::npos)
        << asked;
    EXPECT_EQ(asked.find(first), asked.rfind(first)) << asked;
  }
}

TEST(CommitGroup, ARollUpThatFailsHarmsNoCommit) {
  Bench bench(std::deque<Step>(core::kSegmentsPerRollUp + 1, Step::kCommitted));
  bench.script.roll_ups = Script::RollUps::kRefused;
  for (std::int64_t i = 0; i < core::kSegmentsPerRollUp + 1; ++i) {
    bench.committer->submit(claiming_plan(19'000));
    ASSERT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kCommitted);
  }
}

// The database may be an older one when it is back: a plan was folded upon what is gone.
TEST(CommitGroup, AConnectionThatBreaksInARollUpEndsTheSession) {
  Bench bench(std::deque<Step>(core::kSegmentsPerRollUp + 1, Step::kCommitted));
  bench.script.roll_ups = Script::RollUps::kAway;
  for (std::int64_t i = 0; i < core::kSegmentsPerRollUp; ++i) {
    bench.committer->submit(claiming_plan(19'000));
    ASSERT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kCommitted);
  }
  bench.committer->submit(claiming_plan(19'000));
  EXPECT_EQ(bench.committer->take_report(30s)->fate, PlanFate::kConnectionBroke);
  EXPECT_TRUE(bench.script.asked().ends_with("commit roll_up:0")) << bench.script.asked();
}

TEST(CommitGroup, SaysThatTheDatabaseIsAwayAndThatItIsBack) {
  Bench bench({Step::kUnavailable, Step::kResolvedCommitted});
  bench.probe.partitions_owned(1, 0, 0);
  bench.committer->submit(some_plan());
  // The first wait after a failure is at least 50 ms: the problem stands until the resolve.
  bool complained = false;
  std::optional<CommitReport> report;
  while (!report) {
    complained = complained || bench.complains();
    report = bench.committer->take_report(1ms);
  }
  EXPECT_TRUE(complained);
  EXPECT_FALSE(bench.complains());
  EXPECT_NE(
      bench.registry.exposition().find("tally_aggregator_commit_failures_total{worker=\"0\"} 1"),
      std::string::npos)
      << bench.registry.exposition();
}

TEST(CommitGroup, GivesUpOnAPlanWhenItIsDestroyed) {
  Script script;
  runtime::metrics::Registry registry;
  Probe probe(registry, "0");
  {
    CommitThread thread(std::make_unique<ScriptedStore>(script), 1s);
    const auto committer = thread.join(probe);
    committer->submit(some_plan());
    EXPECT_EQ(committer->take_report(20ms), std::nullopt);
    EXPECT_TRUE(committer->busy());
  }
  // It never believed in a commit that it could not see.
  EXPECT_TRUE(script.asked().starts_with("commit")) << script.asked();
  EXPECT_EQ(script.asked().find("commit", 1), std::string::npos) << script.asked();
}

// Two workers, whose plans wait for each other.
struct Pair : Bench {
  explicit Pair(std::deque<Step> steps) : Bench(std::move(steps)) {}
  Probe other_probe{registry, "1"};
  std::unique_ptr<Committer> other = thread.join(other_probe);

  std::pair<PlanFate, PlanFate> fates_of_both() {
    committer->submit(some_plan(0));
    other->submit(some_plan(1));
    const auto report = committer->take_report(30s);
    const auto other_report = other->take_report(30s);
    TALLY_CHECK(report && other_report, "no report: {}", script.asked());
    TALLY_CHECK(report->plan->partitions.contains(core::PartitionId(0)));
    TALLY_CHECK(other_report->plan->partitions.contains(core::PartitionId(1)));
    return {report->fate, other_report->fate};
  }
};

TEST(CommitGroup, WhatFailsTogetherIsExecutedAlone) {
  using Steps = std::deque<Step>;
  struct TwoPlans {
    const char* name;
    Step together;
    Steps first, second;
    std::pair<PlanFate, PlanFate> fates;
    const char* calls_about_first;
    const char* calls_about_second;
  };
  constexpr auto kCommitted = PlanFate::kCommitted;
  constexpr auto kBroke = PlanFate::kConnectionBroke;
  const Steps not_then_committed = {Step::kResolvedNotCommitted, Step::kCommitted};
  const std::vector<TwoPlans> cases = {
      {"plain", Step::kCommitted, {}, {}, {kCommitted, kCommitted}, "", ""},
      {"one is fenced",
       Step::kFenced,
       {Step::kCommitted},
       {Step::kFenced},
       {kCommitted, PlanFate::kFenced},
       "commit",
       "commit"},
      {"catalogue",
       Step::kCatalogueMoved,
       {Step::kCatalogueMoved},
       {Step::kCatalogueMoved},
       {PlanFate::kCatalogueMoved, PlanFate::kCatalogueMoved},
       "commit",
       "commit"},
      {"refused",
       Step::kRefused,
       not_then_committed,
       not_then_committed,
       {kCommitted, kCommitted},
       "resolve commit",
       "resolve commit"},
      {"one is refused again and again",
       Step::kRefused,
       {Step::kResolvedNotCommitted, Step::kRefused, Step::kResolvedNotCommitted, Step::kRefused,
        Step::kResolvedNotCommitted, Step::kCommitted},
       not_then_committed,
       {kCommitted, kCommitted},
       "resolve commit resolve commit resolve commit",
       "resolve commit"},
      {"in doubt, was committed",
       Step::kInDoubt,
       {Step::kResolvedCommitted},
       {Step::kResolvedCommitted},
       {kBroke, kBroke},
       "resolve",
       "resolve"},
      {"in doubt, was not, and one has another owner",
       Step::kInDoubt,
       {Step::kUnavailable, Step::kResolvedFenced},
       {Step::kResolvedNotCommitted},
       {PlanFate::kFenced, kBroke},
       "resolve resolve",
       "resolve"},
  };
  for (const TwoPlans& one : cases) {
    SCOPED_TRACE(one.name);
    Pair pair({one.together});
    pair.script.own = {{0, one.first}, {1, one.second}};
    EXPECT_EQ(pair.fates_of_both(), one.fates);
    EXPECT_EQ(pair.script.asked().find("together"), 0U);
    EXPECT_EQ(pair.script.calls_about[0], one.calls_about_first);
    EXPECT_EQ(pair.script.calls_about[1], one.calls_about_second);
    EXPECT_TRUE(pair.script.steps.empty());
  }
}

// The last plan of a partition that was lost may wait beside the first of its next owner.
TEST(CommitGroup, TwoPlansOfAPartitionAreTwoCommits) {
  Pair pair({Step::kFenced, Step::kCommitted});
  pair.committer->submit(some_plan(0));
  pair.other->submit(some_plan(0));
  EXPECT_EQ(pair.committer->take_report(30s)->fate, PlanFate::kFenced);
  pair.committer.reset();
  EXPECT_EQ(pair.other->take_report(30s)->fate, PlanFate::kCommitted);
  EXPECT_EQ(pair.script.asked(), "commit commit");
}

TEST(CommitGroup, WaitsForNobodyWhoHasNothing) {
  Pair pair({Step::kCommitted, Step::kCommitted});
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(pair.other->boarding());
    pair.committer->submit(some_plan(0));
    std::optional<CommitReport> report;
    while (!report) {
      pair.other->pass();
      report = pair.committer->take_report(1ms);
    }
    EXPECT_EQ(report->fate, PlanFate::kCommitted);
  }
  EXPECT_EQ(pair.script.asked(), "commit commit");
}

TEST(CommitGroup, SaysThatACommitIsBoarding) {
  Pair pair({Step::kCommitted});
  pair.committer->submit(some_plan(0));
  while (!pair.other->boarding()) EXPECT_EQ(pair.committer->take_report(1ms), std::nullopt);
  pair.other->submit(some_plan(1));
  EXPECT_EQ(pair.committer->take_report(30s)->fate, PlanFate::kCommitted);
  EXPECT_FALSE(pair.committer->boarding());
}

TEST(CommitGroup, WaitsForAMemberNoLongerThanItsTime) {
  Script script;
  script.steps = {Step::kCommitted};
  runtime::metrics::Registry registry;
  Probe probe(registry, "0");
  CommitThread thread(std::make_unique<ScriptedStore>(script), 1ms);
  const auto silent = thread.join(probe);
  const auto committer = thread.join(probe);
  committer->submit(some_plan());
  EXPECT_EQ(committer->take_report(30s)->fate, PlanFate::kCommitted);
}

TEST(CommitGroup, APlanThatIsGivenUpBeforeItsCommitIsNotExecuted) {
  Pair pair({Step::kCommitted});
  auto third = pair.thread.join(pair.probe);
  pair.committer->submit(some_plan(0));
  pair.committer.reset();
  third->submit(some_plan(2));
  pair.other->submit(some_plan(1));
  EXPECT_EQ(third->take_report(30s)->fate, PlanFate::kCommitted);
  EXPECT_EQ(pair.other->take_report(30s)->fate, PlanFate::kCommitted);
  EXPECT_EQ(pair.script.asked(), "together");
}

// What a session was told over its own connection may be gone, too.
TEST(CommitGroup, ABrokenConnectionEndsTheSessionsOfAllWorkers) {
  Pair pair({Step::kCommitted, Step::kInDoubt, Step::kResolvedCommitted, Step::kCommitted});
  EXPECT_EQ(pair.fates_of_both(), std::pair(PlanFate::kCommitted, PlanFate::kCommitted));
  pair.other->pass();
  pair.committer->submit(some_plan(0));
  std::optional<CommitReport> report;
  while (!report) {
    pair.other->pass();
    report = pair.committer->take_report(1ms);
  }
  EXPECT_EQ(report->fate, PlanFate::kConnectionBroke);
  auto next = pair.thread.join(pair.probe);
  pair.committer.reset();
  next->submit(some_plan(0));
  pair.other->submit(some_plan(1));
  EXPECT_EQ(pair.other->take_report(30s)->fate, PlanFate::kConnectionBroke);
  EXPECT_EQ(next->take_report(30s)->fate, PlanFate::kCommitted);
  EXPECT_EQ(pair.script.asked(), "together commit resolve commit");
}

TEST(CommitGroupDeathTest, TwoPlansAtOnceAreABug) {
  EXPECT_DEATH(
      {
        Bench bench({});
        bench.committer->submit(some_plan());
        bench.committer->submit(some_plan());
      },
      "busy");
}

}  // namespace
}  // namespace tally::aggregator
