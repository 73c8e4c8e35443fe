#include "aggregator/session.h"

#include "tests/unit/aggregator/dedup_support.h"
#include "tests/unit/aggregator/session_world.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {
namespace {

using namespace std::chrono_literals;
using runtime::postgres::Unavailable;

TEST(Session, CommitsWhatItReads) {
  World world;
  world.log = {{structured_event("r1", "acme", "api", "-", "{}"), "[]"}};
  EXPECT_EQ(run_session(world), "stopped");
  ASSERT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.committed[0].partitions.at(core::PartitionId(0)).next, core::Offset(2));
  EXPECT_EQ(world.committed[0].rejects.size(), 1U);
}

// Another worker's plan is about to be committed: the rows that both touch are written once.
TEST(Session, GoesWithACommitThatIsBoarding) {
  for (const bool boarding : {false, true}) {
    World world;
    world.boarding = boarding;
    world.log.assign(6, {"[]"});
    world.polls_left = 6;  // less than an interval
    EXPECT_EQ(run_session(world), "stopped");
    EXPECT_EQ(world.committed.size(), boarding ? 6U : 1U);
    EXPECT_EQ(world.passes, 0);
    World idle;
    idle.boarding = boarding;
    idle.polls_left = 3;
    EXPECT_EQ(run_session(idle), "stopped");
    EXPECT_EQ(idle.passes, 3);  // nobody need wait for it
  }
}

// A row of the totals costs a commit the same whatever is added to it. Near the end of the log
// somebody waits for what is read, and the interval holds again.
TEST(Session, CommitsOfABacklogAreFewAndLarge) {
  World world;
  world.log.assign(400, {"[]"});  // a poll takes a twentieth of the interval
  world.polls_left = 420;
  EXPECT_EQ(run_session(world), "stopped");
  ASSERT_GE(world.committed.size(), 6U);
  std::int64_t from = 0;
  for (std::size_t i = 0; i < world.committed.size(); ++i) {
    const std::int64_t next = world.committed[i].partitions.at(core::PartitionId(0)).next.value();
    if (i < 4) {
      EXPECT_GE(next - from, 78) << "commit " << i;
    } else if (i > 4) {
      EXPECT_LE(next - from, 21) << "commit " << i;
    }
    from = next;
  }
  EXPECT_EQ(from, 400);
}

// Promise P8. What is beyond the bound waits for the next commit.
TEST(Session, APlanFullOfWindowsIsCommittedAtOnce) {
  World world;
  std::vector<std::string> batch;
  std::size_t tenants = 0;
  while (tenants < core::kMaxRowsPerCommit + 1'000) {
    batch.push_back(structured_event("r", fmt::format("t{}", tenants++), "api", "-", "{}"));
    if (tenants % 50'000 == 0) world.log.push_back(std::exchange(batch, {}));
  }
  world.log.push_back(batch);
  EXPECT_EQ(run_session(world), "stopped");
  ASSERT_EQ(world.committed.size(), 2U) << "within an interval";
  EXPECT_EQ(world.committed[0].totals.rows(), core::kMaxRowsPerCommit);
  EXPECT_EQ(world.committed[1].totals.rows(), 1'000U);
}

// Promise P8. What an event would be counted under is read before it is known to be a copy, so one
// identity with ever other dimensions fills a plan too, and no window shows it.
TEST(Session, APlanFullOfTextsIsCommittedAtOnce) {
  World world;
  world.meters = {grouped(count_meter("calls", "api"), {"a", "b", "c", "d", "e", "f", "g", "h"})};
  const std::string pad(100, 'x');
  const std::size_t enough = core::kMaxTextBytesPerCommit / (6 * pad.size());
  for (std::size_t i = 0; i < enough; ++i) {
    if (i % 2'000 == 0) world.log.emplace_back();
    std::string data = "{";
    for (const char name : std::string_view("abcdefgh"))
      data += fmt::format(R"("{}":"{}{}",)", name, i, pad);
    data.back() = '}';
    world.log.back().push_back(structured_event("r", "acme", "api", "-", data));
  }
  world.polls_left = static_cast<int>(world.log.size()) + 2;
  EXPECT_EQ(run_session(world), "stopped");
  ASSERT_GE(world.committed.size(), 2U);
  for (const BatchPlan& plan : world.committed)
    EXPECT_LT(plan.totals.texts->bytes(), core::kMaxTextBytesPerCommit + 2'000 * 1'100) << "a poll";
}

// Nobody can read it yet: it is no backlog.
TEST(Session, WhatStandsBehindAnOpenTransactionDelaysNoCommit) {
  World world;
  world.polls_left = 200;
  world.held_back = 1'000'000;
  world.log = {{"[]", "[]"}};
  std::optional<Pace::Clock::time_point> submitted;
  world.on_submit = [&] { submitted = submitted.value_or(world.time); };
  EXPECT_EQ(run_session(world), "stopped");
  ASSERT_TRUE(submitted.has_value());
  EXPECT_LT(submitted->time_since_epoch(), 1500ms) << "the interval is 1 s";
}

// What was opened, the catalogue above all, was read over a connection that is gone: the database
// that answers the next one may be an older one.
TEST(Session, EndsWhenTheConnectionBreaksWhileItsFirstPartitionIsAcquired) {
  World world;
  world.acquires_that_break = 1;
  const std::string reason = run_session(world);
  EXPECT_NE(reason.find("connection to the database broke"), std::string::npos) << reason;
  EXPECT_EQ(world.acquires, 1);
}

// The others of its instance are read meanwhile, and it is read from where it was left.
TEST(Session, APartitionWithoutALeaderKeepsNothingElseWaiting) {
  World world;
  world.assigned = {0, 1, 2};
  world.leaderless = {1};
  world.left_at = {{1, 40}};
  world.log = {{structured_event("r1", "acme", "api", "-", "{}")}};
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_EQ(world.starts, (std::vector<std::int64_t>{0, 40, 0}));
  ASSERT_EQ(world.committed.size(), 1U);
  EXPECT_EQ(world.committed[0].partitions.at(core::PartitionId(0)).next, core::Offset(1));
  EXPECT_FALSE(world.committed[0].partitions.contains(core::PartitionId(1)));
}

std::string call(std::string_view id) { return structured_event(id, "acme", "api", "-", "{}"); }

std::vector<std::string> calls(int first, int count) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) values.push_back(call(fmt::format("r{}", first + i)));
  return values;
}

const Segment& claims_of(const BatchPlan& plan) {
  TALLY_CHECK(plan.segments.size() == 1 && !plan.segments.begin()->second.entries.empty());
  return plan.segments.begin()->second;
}

// What the next session takes from the local disk when its database has the first plan alone.
std::unique_ptr<dedup::Memory> left_behind(const World& world) {
  auto memory = std::make_unique<dedup::Memory>(world.memory);
  const LogDay day = log_day_of(bench_time("08:00:00"));
  memory->advance(day);
  memory->adopt(day - 1, [&](const dedup::SegmentToken& token) {
    return token == claims_of(world.committed.at(0)).token;
  });
  return memory;
}

dedup::Seen remembered(const dedup::Memory& memory, const BatchPlan& plan) {
  return memory.probe(claims_of(plan).entries.at(0), log_day_of(bench_time("08:00:00")));
}

// Promise P1. Nobody knows here what is in a plan that is being committed; a run that had it would
// be believed without it.
TEST(Session, NothingIsSpilledWhileACommitIsUnderWay) {
  const dedup::TempFolder folder;
  World world;
  world.unassigned = 1;
  world.room = {{0, 20'000}, {1, 10'000}};
  dedup::MemorySettings in_memory;
  in_memory.horizon_days = 36;
  dedup::Memory roomy(in_memory);
  roomy.reserve(20'000);
  world.cache_folder = folder.path();
  world.memory_budget_bytes = roomy.hot_bytes() * 5 / 4;  // room for partition 0, not for both
  world.log = {calls(0, 20)};
  world.polls_left = 100;
  world.on_submit = [&] {
    world.log = {calls(100, 20)};
    if (world.committed.size() < 2) return;
    world.assigned_now = {1};
    world.fate.reset();
  };
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_EQ(world.acquires, 2);
  ASSERT_EQ(world.committed.size(), 2U);
  EXPECT_EQ(remembered(*left_behind(world), world.committed[1]), dedup::Seen::kNever);
}

// What was committed need not be loaded again; what the refused plan and the next one claimed is as
// if it had never been.
TEST(Session, AChangedCatalogueLeavesWhatIsCommittedOnDisk) {
  const dedup::TempFolder folder;
  World world;
  world.cache_folder = folder.path();
  world.memory_budget_bytes = 1 << 30;
  world.log = {calls(0, 20)};
  world.polls_left = 100;
  world.on_submit = [&] {
    world.log = {calls(static_cast<int>(100 * world.committed.size()), 20)};
    if (world.committed.size() == 2) world.fate = PlanFate::kCatalogueMoved;
  };
  EXPECT_EQ(run_session(world), "the catalogue changed");
  ASSERT_EQ(world.committed.size(), 2U);
  EXPECT_TRUE(world.log.empty()) << "the third plan was being folded";
  const auto memory = left_behind(world);
  EXPECT_EQ(remembered(*memory, world.committed[0]), dedup::Seen::kSameContent);
  EXPECT_EQ(remembered(*memory, world.committed[1]), dedup::Seen::kNever);
  EXPECT_EQ(memory->size(), claims_of(world.committed[0]).entries.size());
}

// A record whose day would make this partition's clock forget what those of its own log may be
// copies of: so far ahead no lag is borne.
HandoffRow call_from_far_ahead() {
  const std::string value = call("r0");
  kafka::Record record;
  record.log_time_ms = bench_time(fmt::format("{}+08:00:00", core::kMaxLagDays + 2)).millis();
  record.value = value;
  HandoffRow row{core::HandoffId(1), 1, {}};
  append_handoff(record, Admission::kLog, row.bytes);
  return row;
}

void expect_all_counted(World& world, std::int64_t records) {
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_TRUE(world.waiting.empty());
  LedgerDelta sum;
  for (const BatchPlan& plan : world.committed) {
    for (const auto& [where, line] : plan.ledger) {
      sum.counted += line.counted;
      sum.late += line.late;
    }
  }
  EXPECT_EQ(sum.counted, records);
  EXPECT_EQ(sum.late, 0);
}

// It would move the clock, and what is unread would be older than what is remembered.
TEST(Session, AHandoffOfTodayWaitsForTheLogOfWeeksAgo) {
  World world;
  world.waiting.push_back(call_from_far_ahead());
  world.log = {{call("r1")}, {}, {call("r2")}, {call("r3")}};
  world.polls_left = 200;
  expect_all_counted(world, 4);
}

// The partition is read to its end when the handoff is looked for, and no longer when it is found:
// records of long ago came meanwhile, as when this process was stopped for days in between.
TEST(Session, AHandoffOfTodayWaitsForWhatCameWhileItWasLookedFor) {
  World world;
  world.waiting.push_back(call_from_far_ahead());
  world.polls_left = 200;
  world.on_look = [&world, looks = 0]() mutable {
    if (++looks == 1) world.log = {{call("r1")}, {call("r2")}};
  };
  expect_all_counted(world, 3);
}

// Whether it is read to its end nobody can tell; asking must not take the time of the others.
TEST(Session, APartitionThatLostItsLeaderKeepsNothingElseWaiting) {
  World world;
  world.waiting.push_back(call_from_far_ahead());
  world.leaderless_once_read = {0};
  world.polls_left = 200;
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_LT(world.time.time_since_epoch(), 15s) << "200 polls take 10 s";
}

World sixty_that_lost_their_leaders(int polls) {
  World world;
  world.waiting.push_back(call_from_far_ahead());
  for (std::int32_t id = 1; id < 60; ++id) world.assigned.push_back(id);
  world.leaderless_once_read = {world.assigned.begin(), world.assigned.end()};
  world.polls_left = polls;
  return world;
}

TEST(Session, ManyThatLostTheirLeadersKeepNothingElseWaiting) {
  World world = sixty_that_lost_their_leaders(200);
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_LT(world.time.time_since_epoch(), 15s) << "200 polls take 10 s";
}

TEST(Session, ManyThatLostTheirLeadersStarveNoOther) {
  World world = sixty_that_lost_their_leaders(20'000);
  world.assigned.push_back(60);
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_TRUE(world.waiting.empty()) << "60 questions take 11 minutes, 20,000 polls 16";
}

// What it had fetched before may lack what came meanwhile, and a gap looks like skipped offsets.
TEST(Session, EndsWhenAPartitionComesBack) {
  World world;
  world.log = {{call("r1")}, {call("r2")}};
  world.assignments = 2;
  EXPECT_EQ(run_session(world), "a partition came back");
  EXPECT_EQ(world.acquires, 1);
}

// What it folded may be another's by now: nothing is drained, and nothing is taken up again.
TEST(Session, EndsWhenItsAssignmentIsLost) {
  World world;
  world.log = {{call("r1")}, {call("r2")}};
  world.assignments = 2;
  world.revocation = kafka::Revocation::kLost;
  EXPECT_THAT(run_session(world), testing::HasSubstr("the assignment was lost"));
  EXPECT_EQ(world.acquires, 1);
  EXPECT_TRUE(world.committed.empty());
}

// Promise P8. Verdicts of replayed records are kept past the budget of rejects, so a plan that has
// reached it takes no further block; and a log of nothing but rejects does not keep them waiting.
TEST(Session, APlanFullOfRejectsTakesNoFurtherHandoffs) {
  World world;
  const int half = core::kMaxRejectRowsPerCommit / 2;
  for (int id = 1; id <= 4; ++id) world.waiting.push_back(rejected_replays(id, half + 1));
  world.polls_left = 100;
  world.log.assign(95, std::vector<std::string>(core::kMaxRejectRowsPerCommit, "[]"));
  EXPECT_EQ(run_session(world), "stopped");
  EXPECT_TRUE(world.waiting.empty());
  for (const BatchPlan& plan : world.committed) {
    EXPECT_LE(plan.taken.empty() ? 0U : plan.taken.begin()->second.size(), 2U);
    EXPECT_LE(static_cast<std::int64_t>(plan.rejects.size()),
              core::kMaxRejectRowsPerCommit + half + 1);
  }
}

}  // namespace
}  // namespace tally::aggregator
