#include "tests/simulation/scenario.h"

#include "tests/simulation/tenants.h"

#include <iterator>

namespace tally::simulation {

namespace {

constexpr std::int64_t kDayMs = 86'400'000;

void draw_topology(Dice& dice, Scenario& scenario) {
  scenario.partitions = static_cast<std::int32_t>(dice.between(1, 4));
  scenario.instances = static_cast<std::size_t>(dice.between(1, 3));
  scenario.workers = static_cast<std::size_t>(dice.between(1, 3));
  scenario.static_members = dice.one_in(3);
  if (dice.one_in(3)) {
    scenario.growth.push_back(static_cast<std::int32_t>(dice.between(scenario.partitions + 1, 6)));
    if (dice.one_in(3)) scenario.growth.push_back(12);
  }
}

void draw_workload(Dice& dice, Scenario& scenario) {
  scenario.records = static_cast<std::size_t>(dice.between(50, dice.one_in(8) ? 400 : 160));
  scenario.horizon_days = dice.between(1, 3);
  scenario.log_span_ms = dice.between(kDayMs / 4, (3 * scenario.horizon_days + 3) * kDayMs);
  scenario.append_gap_us = dice.between(2'000, 40'000);
  constexpr std::int64_t kIntervalsMs[] = {50, 50, 100, 300};
  scenario.commit_interval_ms = kIntervalsMs[dice.below(std::size(kIntervalsMs))];
  scenario.wrong_partitioner_per_mille = dice.one_in(2) ? 0 : dice.between(20, 400);
  scenario.transactional_per_mille = dice.one_in(2) ? 0 : dice.between(20, 200);
  scenario.roll_up_per_mille = dice.between(0, 400);
  scenario.local_runs = dice.one_in(10);
  if (dice.one_in(4))
    scenario.most_lag_ms = dice.between(1, 4 * scenario.horizon_days + 8) * kDayMs;
}

void draw_store(Dice& dice, Scenario& scenario) {
  StoreRules& store = scenario.store;
  const auto some = [&](std::int64_t most) { return dice.one_in(2) ? 0 : dice.between(1, most); };
  store.broken_per_mille = some(15);
  store.serialization_per_mille = some(20);
  store.crash_per_mille = some(4);
  store.crash_at_step_per_mille = some(15);
  store.lost_answer_per_mille = some(60);
  store.ghost_per_mille = some(60);
  store.pipelined_per_mille = some(60);
}

void draw_faults(Dice& dice, Scenario& scenario) {
  scenario.fault_gap_us = dice.between(50'000, 800'000);
  const std::pair<Fault, std::int64_t> weights[] = {
      {Fault::kKill, 6},        {Fault::kFreeze, 6},          {Fault::kKick, 4},
      {Fault::kStopOrderly, 4}, {Fault::kOutage, 2},          {Fault::kRefreshMetadata, 4},
      {Fault::kRetention, 1},   {Fault::kCatalogueChange, 1}, {Fault::kBackup, 1},
      {Fault::kRestore, 1},     {Fault::kClockStepBack, 1}};
  for (const auto& [fault, weight] : weights) {
    if (dice.one_in(2)) scenario.faults.emplace_back(fault, weight);
  }
  if (!scenario.growth.empty()) scenario.faults.emplace_back(Fault::kGrow, 6);
  if (scenario.local_runs) scenario.faults.emplace_back(Fault::kDamageCache, 3);
  scenario.faults.emplace_back(Fault::kRefreshMetadata, 1);
}

void draw_group(Dice& dice, Scenario& scenario) {
  scenario.group.session_timeout_us = dice.between(300'000, 3'000'000);
  scenario.group.silent_per_mille = dice.one_in(3) ? dice.between(1, 100) : 0;
  scenario.group.stale_queue_per_mille = dice.one_in(2) ? dice.between(100, 900) : 0;
  scenario.group.lossy_per_mille = dice.one_in(3) ? dice.between(50, 600) : 0;
  scenario.group.largest_poll = static_cast<std::size_t>(dice.between(1, 30));
}

// A topic that grows twice under load, read by members of which some know it late.
void make_growing(Dice& dice, Scenario& scenario) {
  scenario.name = "growing";
  scenario.partitions = static_cast<std::int32_t>(dice.between(1, 4));
  scenario.growth = {6, 12};
  scenario.instances = static_cast<std::size_t>(dice.between(2, 3));
  scenario.wrong_partitioner_per_mille = dice.between(0, 300);
  scenario.faults = {
      {Fault::kGrow, 8}, {Fault::kRefreshMetadata, 8}, {Fault::kKill, 2}, {Fault::kFreeze, 2}};
  scenario.fault_gap_us = dice.between(50'000, 300'000);
}

// Every second COMMIT is in doubt.
void make_doubtful(Dice& dice, Scenario& scenario) {
  scenario.name = "doubtful";
  scenario.store.ghost_per_mille = dice.between(50, 250);
  scenario.store.lost_answer_per_mille = dice.between(50, 250);
  scenario.store.pipelined_per_mille = dice.between(50, 250);
  scenario.faults = {{Fault::kKill, 2}, {Fault::kKick, 4}, {Fault::kOutage, 1}};
}

// Owners stopped in the middle of things, who wake up after their partitions moved.
void make_undead(Dice& dice, Scenario& scenario) {
  scenario.name = "undead";
  scenario.instances = static_cast<std::size_t>(dice.between(2, 3));
  scenario.faults = {{Fault::kFreeze, 10}, {Fault::kKick, 5}, {Fault::kStopOrderly, 2}};
  scenario.fault_gap_us = dice.between(30'000, 200'000);
  scenario.group.session_timeout_us = dice.between(100'000, 600'000);
  scenario.group.stale_queue_per_mille = dice.between(300, 900);
}

// Killed again and again, at every step.
void make_deadly(Dice& dice, Scenario& scenario) {
  scenario.name = "deadly";
  scenario.store.crash_per_mille = dice.between(5, 30);
  scenario.store.crash_at_step_per_mille = dice.between(20, 120);
  scenario.faults = {{Fault::kKill, 10}};
  scenario.fault_gap_us = dice.between(50'000, 300'000);
  scenario.local_runs = dice.one_in(3);
}

// Some partitions are read days after the others: those that nobody owns, or nobody knows yet.
void make_lagging(Dice& dice, Scenario& scenario) {
  scenario.name = "lagging";
  scenario.partitions = static_cast<std::int32_t>(dice.between(2, 4));
  scenario.horizon_days = 1;
  scenario.log_span_ms = dice.between(6, 12) * kDayMs;
  scenario.most_lag_ms = dice.between(2, 9) * kDayMs;
  scenario.append_gap_us = dice.between(2'000, 10'000);
  scenario.wrong_partitioner_per_mille = dice.between(50, 400);
  scenario.growth = {6};
  scenario.faults = {{Fault::kGrow, 2},
                     {Fault::kRefreshMetadata, 1},
                     {Fault::kFreeze, 4},
                     {Fault::kKill, 3},
                     {Fault::kStopOrderly, 3}};
  scenario.fault_gap_us = dice.between(50'000, 400'000);
  scenario.group.largest_poll = static_cast<std::size_t>(dice.between(1, 4));
}

// Nothing fails: what is wrong here is wrong by itself.
void make_calm(Dice&, Scenario& scenario) {
  scenario.name = "calm";
  scenario.store = {};
  scenario.faults.clear();
  scenario.fault_gap_us = 0;
  scenario.group.silent_per_mille = 0;
  scenario.group.lossy_per_mille = 0;
  scenario.growth.clear();
}

// Old backups, retention that eats unread records, short horizons.
void make_forgetful(Dice& dice, Scenario& scenario) {
  scenario.name = "forgetful";
  scenario.horizon_days = 1;
  scenario.log_span_ms = dice.between(6, 12) * kDayMs;
  scenario.local_runs = dice.one_in(3);
  scenario.faults = {{Fault::kBackup, 6},     {Fault::kRestore, 3}, {Fault::kRetention, 3},
                     {Fault::kKill, 3},       {Fault::kOutage, 3},  {Fault::kClockStepBack, 3},
                     {Fault::kStopOrderly, 3}};
  if (scenario.local_runs) scenario.faults.emplace_back(Fault::kDamageCache, 3);
  scenario.fault_gap_us = dice.between(50'000, 300'000);
}

}  // namespace

Scenario scenario_of(std::uint64_t seed) {
  Dice dice(seed ^ 0x7363656e6172696fULL);
  Scenario scenario;
  scenario.name = "mixed";
  draw_topology(dice, scenario);
  draw_workload(dice, scenario);
  draw_store(dice, scenario);
  draw_faults(dice, scenario);
  draw_group(dice, scenario);
  using Maker = void (*)(Dice&, Scenario&);
  constexpr Maker kPresets[] = {make_growing, make_doubtful,  make_undead, make_deadly,
                                make_calm,    make_forgetful, make_lagging};
  if (dice.one_in(2)) kPresets[dice.below(std::size(kPresets))](dice, scenario);
  scenario.beginning = dice.below(std::size(kFirstLogSeconds));
  return scenario;
}

}  // namespace tally::simulation
