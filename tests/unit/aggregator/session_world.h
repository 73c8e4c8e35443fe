// Sessions over a world of one thread: a log and a store that answer as they are told, and a clock
// that moves when somebody waits.
#pragma once

#include "aggregator/handoff.h"
#include "aggregator/session.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/metrics/metrics.h"
#include "runtime/postgres/connection.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace kafka = runtime::kafka;

struct World final : Pace {
  [[nodiscard]] Clock::time_point now() const override { return time; }
  [[nodiscard]] bool stop_requested() const override { return polls_left == 0 || waits_left == 0; }
  void wait_for(std::chrono::milliseconds wait) override {
    time += wait;
    --waits_left;
  }

  Clock::time_point time{};
  std::vector<core::Meter> meters = {count_meter("calls", "api")};
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
    deployment.meters = std::make_shared<const MeterSet>(world_.meters, core::CatalogueVersion(1),
                                                         core::CatalogueVersion(1));
    deployment.generation = core::Generation(1);
    deployment.partitions = request.partitions;
    return deployment;
  }
  std::int32_t never_owned() override { return 0; }
  std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) override {
    if (++world_.acquires <= world_.acquires_that_break)
      throw runtime::postgres::Unavailable("it broke");
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

inline std::string run_session(World& world) {
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

inline HandoffRow rejected_replays(std::int64_t id, int records) {
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

}  // namespace tally::aggregator
