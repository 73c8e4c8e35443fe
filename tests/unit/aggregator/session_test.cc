// Sessions over a world of one thread: a log and a store that answer as they are told, and a clock
// that moves when somebody waits.
#include "aggregator/session.h"

#include "aggregator/handoff.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/metrics/metrics.h"
#include "runtime/postgres/connection.h"
#include "tests/unit/aggregator/dedup_support.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {
namespace {

using namespace std::chrono_literals;
namespace kafka = runtime::kafka;
using runtime::postgres::Unavailable;

struct World final : Pace {
  [[nodiscard]] Clock::time_point now() const override { return time; }
  [[nodiscard]] bool stop_requested() const override { return polls_left == 0 || waits_left == 0; }
  void wait_for(std::chrono::milliseconds wait) override {
    time += wait;
    --waits_left;
  }

  Clock::time_point time{};
  int polls_left = 20;
  int waits_left = 20;

  std::vector<std::int32_t> assigned = {0};
  std::set<std::int32_t> leaderless;
  std::set<std::int32_t> leaderless_once_read;
  int assignments = 1;  // each of all `assigned`, one poll after the other
  kafka::Revocation revocation = kafka::Revocation::kOrderly;  // between them
  std::vector<std::int64_t> starts;          // where the session wants what is assigned read from
  std::deque<std::vector<std::string>> log;  // the values that each poll brings, of partition 0
  std::int64_t next_offset = 0;
  std::int64_t held_back = 0;                    // records behind an open transaction
  std::map<std::int32_t, std::int64_t> left_at;  // where the last owner of a partition stopped
  int acquires = 0;
  int acquires_that_break = 0;
  std::deque<HandoffRow> waiting;         // in tally.handoff, the same for each partition
  std::function<void()> on_look = [] {};  // after the rows of all days were looked for
  std::vector<BatchPlan> committed;       // submitted, rather, where `fate` is another

  int unassigned = 0;                       // partitions that nobody is assigned at first
  std::vector<std::int32_t> assigned_now;   // by the next poll
  std::function<void()> on_submit = [] {};  // after it was put into `committed`
  bool boarding = false;                    // a commit of other workers waits for ours
  int passes = 0;
  std::optional<PlanFate> fate = PlanFate::kCommitted;  // nullopt: the commit goes on and on
  std::map<std::int32_t, std::size_t> room;  // of what is acquired: for so many identities
  dedup::MemorySettings memory;              // of partition 0, as the session asked for it
  std::filesystem::path cache_folder;
  std::size_t memory_budget_bytes = 0;
};

class WorldSource final : public EventSource {
 public:
  WorldSource(World& world, kafka::RebalanceListener& listener)
      : world_(world), listener_(listener) {}

  kafka::RecordBatch poll(std::size_t /*max_records*/, std::chrono::milliseconds timeout) override {
    if (joins_ < world_.assignments) {
      if (joins_++ > 0) listener_.revoked(world_.assigned, world_.revocation);
      world_.starts = listener_.assigned(world_.assigned);
    }
    if (!world_.assigned_now.empty()) listener_.assigned(std::exchange(world_.assigned_now, {}));
    world_.time += timeout;
    --world_.polls_left;
    kafka::RecordBatch batch;
    if (world_.log.empty()) {
      for (const std::int32_t id : world_.assigned)
        batch.ends.push_back({id, id == 0 ? world_.next_offset : 0});
      return batch;
    }
    values_ = std::move(world_.log.front());
    world_.log.pop_front();
    for (const std::string& value : values_) {
      kafka::Record record;
      record.offset = world_.next_offset++;
      record.log_time_ms = bench_time("08:00:00").millis();
      record.log_time_kind = kafka::LogTimeKind::kLogAppendTime;
      record.value = value;
      batch.records.push_back(record);
    }
    return batch;
  }
  std::optional<kafka::Watermarks> watermarks(std::int32_t partition,
                                              std::chrono::milliseconds timeout) override {
    if (world_.leaderless.contains(partition)) return std::nullopt;
    if (!world_.starts.empty() && world_.leaderless_once_read.contains(partition)) {
      world_.time += timeout;
      return std::nullopt;
    }
    return kafka::Watermarks{0, *fetched_end(partition)};
  }
  [[nodiscard]] std::optional<std::int64_t> fetched_end(std::int32_t /*partition*/) const override {
    std::int64_t end = world_.next_offset + world_.held_back;
    for (const auto& unread : world_.log) end += static_cast<std::int64_t>(unread.size());
    return end;
  }
  std::optional<std::int32_t> partition_count(std::chrono::milliseconds /*timeout*/) override {
    return static_cast<std::int32_t>(world_.assigned.size()) + world_.unassigned;
  }
  void mirror_offsets(
      const std::vector<std::pair<std::int32_t, std::int64_t>>& /*next_offsets*/) override {}
  [[nodiscard]] std::string transport_problem() const override { return {}; }

 private:
  World& world_;
  kafka::RebalanceListener& listener_;
  std::vector<std::string> values_;  // of the batch handed out last
  int joins_ = 0;
};

class WorldStore final : public TotalsStore {
 public:
  explicit WorldStore(World& world) : world_(world) {}

  Deployment open(const OpenRequest& request) override {
    Deployment deployment;
    deployment.meters =
        std::make_shared<const MeterSet>(std::vector{count_meter("calls", "api")},
                                         core::CatalogueVersion(1), core::CatalogueVersion(1));
    deployment.generation = core::Generation(1);
    deployment.partitions = request.partitions;
    return deployment;
  }
  std::int32_t never_owned() override { return 0; }
  std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) override {
    if (++world_.acquires <= world_.acquires_that_break) throw Unavailable("it broke");
    if (request.partition == core::PartitionId(0)) world_.memory = request.memory;
    auto state = std::make_unique<PartitionState>(request.partition, request.memory);
    state->memory.reserve(world_.room[request.partition.value()]);
    state->epoch = core::Epoch(1);
    state->generation = request.generation;
    const auto left_at = world_.left_at.find(request.partition.value());
    state->position =
        left_at == world_.left_at.end() ? request.log_start : core::Offset(left_at->second);
    return state;
  }
  std::optional<LogDay> slowest_day() override { return std::nullopt; }
  std::vector<HandoffRow> waiting_handoffs(core::PartitionId /*home*/,
                                           const std::set<core::HandoffId>& under_way,
                                           std::optional<LogDay> last_day) override {
    std::vector<HandoffRow> rows;
    for (const HandoffRow& row : world_.waiting) {
      const auto first = HandoffReader(row.bytes).next();
      const LogDay day = log_day_of(core::Timestamp::from_millis(first->record.log_time_ms));
      if (!under_way.contains(row.id) && day <= last_day.value_or(day)) rows.push_back(row);
    }
    if (!last_day) world_.on_look();
    return rows;
  }
  CommitOutcome commit(const BatchPlan& /*plan*/) override { return CommitOutcome::kCommitted; }
  Resolution resolve(const BatchPlan& /*plan*/) override {
    TALLY_CHECK(false, "no commit is in doubt here");
  }
  RollUp roll_up(const PartitionClaim& /*claim*/) override { return RollUp::kNothingToDo; }
  void drop_expired() override {}

 private:
  World& world_;
};

// Commits at once, where the world says nothing else.
class WorldCommitter final : public Committer {
 public:
  explicit WorldCommitter(World& world) : world_(world) {}
  [[nodiscard]] bool busy() const override { return under_way_ || report_.has_value(); }
  void submit(std::unique_ptr<BatchPlan> plan) override {
    for (const auto& [home, rows] : plan->taken) {
      for (const HandoffTaken& taken : rows) {
        std::erase_if(world_.waiting, [&](const HandoffRow& row) { return row.id == taken.id; });
      }
    }
    world_.committed.push_back(*plan);
    world_.on_submit();
    under_way_ = !world_.fate;
    if (!under_way_) report_ = CommitReport{*world_.fate, std::move(plan)};
  }
  std::optional<CommitReport> take_report(std::chrono::milliseconds time) override {
    if (under_way_) world_.time += time;
    return std::exchange(report_, std::nullopt);
  }
  [[nodiscard]] bool boarding() const override { return world_.boarding; }
  void pass() override { ++world_.passes; }

 private:
  World& world_;
  bool under_way_ = false;
  std::optional<CommitReport> report_;
};

std::string run_session(World& world) {
  runtime::metrics::Registry registry;
  Probe probe(registry, "0");
  Environment environment{[&](kafka::RebalanceListener& listener, Membership /*membership*/) {
                            return std::make_unique<WorldSource>(world, listener);
                          },
                          [&] { return std::make_unique<WorldStore>(world); },
                          [&] { return std::make_unique<WorldCommitter>(world); }, world,
                          [] { return dedup::SegmentToken::random(); }};
  SessionSettings settings;
  settings.topic = "usage.events";
  settings.horizon_seconds = kBenchRules.horizon_seconds;
  settings.future_bound_seconds = kBenchRules.future_bound_seconds;
  settings.cache_folder = world.cache_folder;
  settings.memory_budget_bytes = world.memory_budget_bytes;
  return Session(settings, environment, probe, Membership::kConfigured).run();
}

HandoffRow rejected_replays(std::int64_t id, int records) {
  kafka::Record record;
  record.log_time_ms = bench_time("08:00:00").millis();
  record.value = "[]";
  HandoffRow row{core::HandoffId(id), records, {}};
  for (int i = 0; i < records; ++i) {
    record.offset = i;
    append_handoff(record, Admission::kReadmitted, row.bytes);
  }
  return row;
}

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
    world.polls_left = 3;  // of nothing: nobody need wait for it
    EXPECT_EQ(run_session(world), "stopped");
    EXPECT_EQ(world.passes, 3);
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
