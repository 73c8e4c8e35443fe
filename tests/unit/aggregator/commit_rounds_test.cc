// The rounds of a commit group, on one thread and a clock of their own: what happens while the
// group waits, or while a transaction of its is under way, stands in the test.
#include "aggregator/commit_group.h"
#include "core/limits.h"
#include "runtime/metrics/metrics.h"
#include "tests/unit/aggregator/scripted_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::aggregator {
namespace {

using namespace std::chrono_literals;

// Whoever waits lets the next action happen; when there is none left, the time passes, or `on_idle`
// happens where it would wait for ever.
class SteppedMonitor final : public Monitor {
 public:
  [[nodiscard]] Clock::time_point now() const override { return time; }
  void lock() override {}
  void unlock() override {}
  bool wait(std::optional<std::chrono::milliseconds> at_most,
            const std::function<bool()>& holds) override {
    while (!holds() && !actions.empty()) {
      const auto action = std::move(actions.front());
      actions.pop_front();
      action();
    }
    if (holds()) return true;
    if (at_most) {
      time += *at_most;
    } else {
      on_idle();
    }
    return holds();
  }
  void wake_all() override {}

  Clock::time_point time{};
  std::deque<std::function<void()>> actions;
  std::function<void()> on_idle = [] { TALLY_CHECK(false, "it waits for ever"); };
};

struct Rounds {
  Script script;
  SteppedMonitor monitor;
  CommitGroup group{std::make_unique<ScriptedStore>(script), monitor, {50ms, 1}};
  runtime::metrics::Registry registry;
  Probe probe{registry, "0"};
  std::vector<std::unique_ptr<Committer>> workers;

  explicit Rounds(std::size_t count) {
    probe.partitions_owned(1, 0, 0);
    for (std::size_t i = 0; i < count; ++i) workers.push_back(group.join(probe));
  }
  void submit(std::size_t worker) {
    workers.at(worker)->submit(some_plan(static_cast<std::int32_t>(worker)));
  }
  std::optional<PlanFate> fate_of(std::size_t worker) {
    const auto report = workers.at(worker)->take_report(0ms);
    return report ? std::optional(report->fate) : std::nullopt;
  }
  bool complains() { return !probe.reasons(Probe::Clock::now(), 1h).empty(); }
};

// Each of the others waits for one transaction of it, not for all that is still to be tried.
TEST(CommitRounds, EachIsToldWhenItsOwnTransactionIsOver) {
  Rounds rounds(3);
  rounds.script.steps = {Step::kFenced, Step::kCommitted, Step::kCommitted, Step::kFenced};
  std::vector<std::optional<PlanFate>> told;
  rounds.script.on_call = [&](const std::string& call) {
    if (call == "commit 1") told.push_back(rounds.fate_of(0));
    if (call != "commit 2") return;
    told.push_back(rounds.fate_of(1));
    rounds.group.stop();
  };
  for (std::size_t i = 0; i < 3; ++i) rounds.submit(i);
  rounds.group.run();
  EXPECT_EQ(rounds.script.asked(), "together commit commit commit");
  EXPECT_EQ(told,
            (std::vector<std::optional<PlanFate>>{PlanFate::kCommitted, PlanFate::kCommitted}));
  EXPECT_EQ(rounds.fate_of(2), PlanFate::kFenced);
}

// A lock that is held for long: three plans would wait for it one after the other, each up to
// kCommitLockSeconds, and all others for all three.
TEST(CommitRounds, BetweenTwoPlansThatWereTriedGoesOneThatWasNot) {
  Rounds rounds(4);
  rounds.script.steps = {Step::kFenced};
  for (std::int32_t i = 0; i < 3; ++i) rounds.script.own[i] = {Step::kCommitted};
  rounds.script.own[3] = std::deque<Step>(3, Step::kCommitted);
  std::string calls;
  rounds.script.on_call = [&](const std::string& call) {
    calls += call + "; ";
    if (call == "commit 3") return;
    (void)rounds.fate_of(3);
    if (call == "commit 2") return rounds.group.stop();
    if (!rounds.workers[3]->busy()) rounds.submit(3);
  };
  for (std::size_t i = 0; i < 3; ++i) rounds.submit(i);
  rounds.group.run();
  EXPECT_EQ(calls, "together; commit 0; commit 3; commit 1; commit 3; commit 2; ");
}

// It is away, or somebody holds its locks: trying it again each time that anybody commits would
// make everybody wait for it each time.
TEST(CommitRounds, APlanInDoubtIsNotTriedAgainWithEveryOther) {
  Rounds rounds(2);
  rounds.script.own[0] = {Step::kRefused, Step::kRefused, Step::kRefused, Step::kResolvedCommitted};
  rounds.script.own[1] = std::deque<Step>(2'000, Step::kCommitted);
  std::vector<Monitor::Clock::time_point> tries;
  rounds.script.on_call = [&](const std::string& call) {
    if (!call.ends_with("0")) return;
    tries.push_back(rounds.monitor.time);
    if (tries.size() == 4) rounds.group.stop();
  };
  rounds.submit(0);
  const std::function<void()> another = [&] {
    rounds.monitor.time += 1ms;
    (void)rounds.fate_of(1);
    rounds.workers[1]->pass();
    rounds.submit(1);
  };
  rounds.monitor.actions.assign(1'000, another);
  rounds.monitor.actions.push_front([&] { rounds.workers[1]->pass(); });
  rounds.group.run();
  ASSERT_EQ(tries.size(), 4U);
  for (std::size_t i = 1; i < tries.size(); ++i)
    EXPECT_GE(tries[i] - tries[i - 1], 50ms * (1 << (i - 1)));
  EXPECT_GT(rounds.script.calls_about[1].size(), 1'000U) << "the other went on";
  EXPECT_EQ(rounds.fate_of(0), PlanFate::kCommitted);
}

TEST(CommitRounds, APlanThatIsGivenUpWhileItsTransactionIsUnderWayIsForgotten) {
  for (const Step outcome : {Step::kRefused, Step::kInDoubt, Step::kCommitted, Step::kFenced}) {
    Rounds rounds(2);
    rounds.script.steps = {outcome, Step::kCommitted};
    rounds.script.on_call = [&](const std::string& call) {
      if (call == "commit 0") rounds.workers[0].reset();
    };
    rounds.submit(0);
    rounds.monitor.actions = {[&] { rounds.workers[1]->pass(); }, [&] { rounds.group.stop(); }};
    rounds.group.run();
    EXPECT_EQ(rounds.script.asked(), "commit");
    EXPECT_FALSE(rounds.complains()) << "nobody waits for it";
  }
}

TEST(CommitRounds, APlanThatIsGivenUpAfterItFailedIsNotTriedAgain) {
  Rounds rounds(1);
  rounds.script.steps = {Step::kRefused, Step::kResolvedCommitted};
  rounds.submit(0);
  rounds.monitor.actions = {[&] {
                              EXPECT_TRUE(rounds.complains());
                              rounds.workers[0].reset();
                              EXPECT_FALSE(rounds.complains());
                            },
                            [&] { rounds.group.stop(); }};
  rounds.group.run();
  EXPECT_EQ(rounds.script.asked(), "commit");
}

TEST(CommitRounds, NothingIsBegunAfterAStop) {
  Rounds rounds(3);
  rounds.script.steps = {Step::kFenced, Step::kCommitted, Step::kCommitted};
  rounds.script.on_call = [&](const std::string& call) {
    if (call == "together") rounds.submit(2);
    if (call == "commit 2") rounds.group.stop();
  };
  rounds.submit(0);
  rounds.submit(1);
  rounds.monitor.actions = {[&] { rounds.workers[2]->pass(); }};
  rounds.group.run();
  EXPECT_EQ(rounds.script.asked(), "together commit commit");
}

// A session that began before it was folded upon what may be gone, whoever noticed.
TEST(CommitRounds, EveryBreakOfTheConnectionEndsTheSessionsThatBeganBeforeIt) {
  for (const Step noticed : {Step::kUnavailable, Step::kInDoubt, Step::kNotConnected}) {
    Rounds rounds(2);
    // The server refuses all that is asked over this connection, until it breaks.
    rounds.script.own[0] = {Step::kRefused, noticed, Step::kResolvedCommitted};
    rounds.script.own[1] = {Step::kCommitted};
    rounds.submit(0);
    rounds.monitor.actions = {[&] { rounds.workers[1]->pass(); }};
    rounds.script.on_call = [&, calls = 0](const std::string& call) mutable {
      if (call.ends_with("0") && ++calls == 3) rounds.submit(1);
    };
    rounds.monitor.on_idle = [&] { rounds.group.stop(); };
    rounds.group.run();
    EXPECT_EQ(rounds.fate_of(0), PlanFate::kConnectionBroke);
    EXPECT_EQ(rounds.fate_of(1),
              noticed == Step::kNotConnected ? PlanFate::kCommitted : PlanFate::kConnectionBroke);
  }
}

// A roll-up may take long.
TEST(CommitRounds, IsToldBeforeWhatIsStoredIsMadeSmall) {
  Rounds rounds(1);
  rounds.script.steps = {Step::kCommitted};
  std::string calls;
  rounds.script.on_call = [&](const std::string& call) {
    calls += call + "; ";
    if (call == "roll_up" || call == "drop_expired") {
      EXPECT_FALSE(rounds.workers[0]->busy() && !rounds.fate_of(0)) << call;
    }
    if (call == "drop_expired") rounds.group.stop();
  };
  auto plan = claiming_plan(19'000);
  plan->partitions.at(core::PartitionId(0)).stored_segments = core::kSegmentsPerRollUp;
  rounds.workers[0]->submit(std::move(plan));
  rounds.group.run();
  EXPECT_EQ(calls, "commit 0; roll_up; drop_expired; ");
}

}  // namespace
}  // namespace tally::aggregator
