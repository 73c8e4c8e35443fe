#include "tests/simulation/world.h"

#include "core/identity.h"
#include "core/limits.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace tally::simulation {

namespace {

constexpr std::int64_t kFutureBoundSeconds = 300;
constexpr std::int64_t kDayUs = 86'400'000'000;

AuditRules audit_rules(const Scenario& scenario) {
  const std::int64_t horizon_us = scenario.horizon_days * kDayUs;
  return {horizon_us, kFutureBoundSeconds * 1'000'000,
          // The horizon, the future bound, the day for whole days, the day it ends in, and the lag:
          // who lags holds back the days that all others could forget.
          horizon_us + 3 * kDayUs + (scenario.most_lag_ms + kMostStepMs) * 1'000};
}

}  // namespace

World::World(std::uint64_t seed, const Workshop& workshop, bool tracing)
    : scenario_(scenario_of(seed)),
      scheduler_(seed),
      log_(scenario_.partitions),
      lingering_(scheduler_, database_),
      plant_{scheduler_, database_, lingering_, scenario_.store},
      group_(scheduler_, log_, scenario_.group),
      workload_(scheduler_.dice(),
                {scenario_.horizon_days * kDayUs, kFutureBoundSeconds * 1'000'000}),
      auditor_(log_, workload_, workshop.tenants.at(scenario_.beginning), audit_rules(scenario_)),
      scratch_(workshop.scratch),
      log_clock_ms_(kFirstLogSeconds[scenario_.beginning] * 1000),
      producers_know_(scenario_.partitions) {
  scheduler_.tracing = tracing;
  database_.catalogues = workshop.catalogues;
  database_.tenants = workshop.tenants.at(scenario_.beginning).rows();
  database_.clock = core::Timestamp::from_millis(log_clock_ms_);
  database_.on_plan_committed = [this](const aggregator::BatchPlan& plan, const Tables& tables) {
    scheduler_.coverage().count(Event::kCommitted);
    std::set<std::string> owners;
    for (const auto& [id, advance] : plan.partitions) {
      owners.insert(tables.states.at(id.value()).owner);
      scheduler_.mix(static_cast<std::uint64_t>(advance.next.value()) << 8U |
                     static_cast<std::uint64_t>(id.value()));
      scheduler_.note("commit: partition {} epoch {} from {} to {}", id.value(),
                      advance.epoch.value(), advance.start.value(), advance.next.value());
    }
    if (owners.size() > 1) scheduler_.coverage().count(Event::kCommittedTogether);
    scheduler_.coverage().count(Event::kHandedOff, static_cast<std::int64_t>(plan.handoffs.size()));
    scheduler_.coverage().count(Event::kHandoffTaken, static_cast<std::int64_t>(plan.taken.size()));
    const std::string broken = auditor_.committed(plan, tables);
    if (!broken.empty()) scheduler_.broken(broken);
  };
  group_.on_mirrored = [this](std::int32_t partition, std::int64_t offset) {
    const std::string broken = auditor_.mirrored(partition, offset);
    if (!broken.empty()) scheduler_.broken(broken);
  };
  make_instances(workshop);
}

World::~World() { scheduler_.crash_all(); }

void World::make_instances(const Workshop& workshop) {
  for (std::size_t i = 0; i < scenario_.instances; ++i) {
    InstanceSettings settings;
    settings.name = fmt::format("instance {}", i);
    if (scenario_.static_members) settings.static_id = fmt::format("static-{}", i);
    settings.workers = scenario_.workers;
    settings.session.topic = "usage.events";
    settings.session.commit_interval = std::chrono::milliseconds(scenario_.commit_interval_ms);
    settings.session.horizon_seconds = scenario_.horizon_days * kDayUs / 1'000'000;
    settings.session.future_bound_seconds = kFutureBoundSeconds;
    if (scenario_.local_runs) {
      settings.session.cache_folder = scratch_ / std::to_string(i);
      settings.session.memory_budget_bytes = 1;
    }
    settings.roll_up_per_mille = scenario_.roll_up_per_mille;
    instances_.push_back(
        std::make_unique<Instance>(std::move(settings), plant_, group_, workshop.probe));
    instances_.back()->known_partitions = scenario_.partitions;
  }
}

std::int32_t World::partition_for(const Message& message) {
  Dice& dice = scheduler_.dice();
  const auto partitions = dice.one_in(3) ? producers_know_ : log_.partitions();
  if (dice.per_mille(scenario_.wrong_partitioner_per_mille)) {
    scheduler_.coverage().count(Event::kWrongPartitioner);
    return static_cast<std::int32_t>(dice.below(static_cast<std::size_t>(partitions)));
  }
  return static_cast<std::int32_t>(core::home_bits(message.id) %
                                   static_cast<std::uint32_t>(partitions));
}

void World::append_one() {
  Dice& dice = scheduler_.dice();
  const std::int64_t gap_ms = scenario_.log_span_ms / static_cast<std::int64_t>(scenario_.records);
  const std::int64_t before = log_clock_ms_;
  log_clock_ms_ += dice.one_in(4) ? dice.between(0, 4 * gap_ms) : dice.between(0, gap_ms);
  // A step alone may be longer than the lag that is left.
  if (const auto oldest = auditor_.oldest_pending_ms())
    log_clock_ms_ =
        std::max(before, std::min(log_clock_ms_, *oldest + scenario_.most_lag_ms + kMostStepMs));
  database_.clock = std::max(database_.clock, core::Timestamp::from_millis(log_clock_ms_));
  const std::size_t message = workload_.next(log_clock_ms_);
  const std::int32_t partition = partition_for(workload_.messages()[message]);
  LogEntry entry = workload_.entry(message, log_clock_ms_);
  if (dice.per_mille(scenario_.transactional_per_mille)) entry.kind = EntryKind::kOpen;
  const std::int64_t offset = log_.append(partition, std::move(entry));
  scheduler_.note("append: partition {} offset {}: {} {} of {}", partition, offset,
                  workload_.messages()[message].type, workload_.messages()[message].id,
                  workload_.messages()[message].tenant);
  ++appended_;
  if (log_.has_open_transaction(partition) && dice.one_in(3)) end_transactions();
}

void World::end_transactions() {
  for (std::int32_t p = 0; p < log_.partitions(); ++p) {
    if (!log_.has_open_transaction(p)) continue;
    const bool abort = scheduler_.dice().one_in(3);
    if (abort) scheduler_.coverage().count(Event::kAbortedTransaction);
    log_.end_transaction(p, abort ? EntryKind::kAborted : EntryKind::kRecord, log_clock_ms_);
  }
}

bool World::readers_lag() const {
  const auto oldest = auditor_.oldest_pending_ms();
  return oldest && log_clock_ms_ - *oldest > scenario_.most_lag_ms;
}

void World::produce() {
  while (appended_ < scenario_.records) {
    if (readers_lag()) {
      end_transactions();
      scheduler_.wait_until(scheduler_.now_us() + 20'000, nullptr);
      continue;
    }
    const std::size_t burst = scheduler_.dice().one_in(6) ? 1 + scheduler_.dice().below(8) : 1;
    for (std::size_t i = 0; i < burst && appended_ < scenario_.records && !readers_lag(); ++i)
      append_one();
    const std::int64_t gap_us = scheduler_.dice().between(0, 2 * scenario_.append_gap_us);
    scheduler_.wait_until(scheduler_.now_us() + gap_us, nullptr);
  }
  end_transactions();
}

void World::break_things() {
  std::int64_t all = 0;
  for (const auto& [fault, weight] : scenario_.faults) all += weight;
  while (!calm_ && all != 0) {
    scheduler_.wait_until(
        scheduler_.now_us() + scheduler_.dice().between(1'000, 2 * scenario_.fault_gap_us),
        [this] { return calm_; });
    if (calm_) return;
    auto pick = scheduler_.dice().between(0, all - 1);
    for (const auto& [fault, weight] : scenario_.faults) {
      if ((pick -= weight) >= 0) continue;
      strike(fault);
      break;
    }
    for (const auto& instance : instances_) {
      if (!instance->running() && scheduler_.dice().one_in(2)) instance->start();
    }
  }
}

bool World::settled() const {
  if (!lingering_.empty() || !auditor_.all_settled()) return false;
  return true;
}

void World::heal() {
  calm_ = true;
  plant_.rules = {};
  database_.up = true;
  end_transactions();
  refresh_metadata();
  for (const auto& instance : instances_) {
    instance->thaw();
    instance->known_partitions = log_.partitions();
    if (!instance->running()) instance->start();
  }
  group_.refresh_metadata();
}

void World::housekeeping() {
  scheduler_.reap();
  if (calm_) {
    for (const auto& instance : instances_) {
      if (!instance->running()) instance->start();  // it was told to stop just before
    }
  }
  lingering_.settle_due();
  group_.expire();
  scheduler_.coverage().count(Event::kIdleTransactionKilled,
                              static_cast<std::int64_t>(database_.kill_idle(scheduler_.now_us())));
}

bool World::run_until(const std::function<bool()>& done, std::int64_t most_us,
                      std::int64_t most_steps) {
  const std::int64_t end_us = scheduler_.now_us() + most_us;
  const std::int64_t end_steps = scheduler_.steps() + most_steps;
  while (scheduler_.verdict().empty()) {
    if (!scheduler_.run_one()) scheduler_.next_wake();
    housekeeping();
    if (scheduler_.steps() % 16 == 0 && done()) return scheduler_.verdict().empty();
    if (scheduler_.now_us() > end_us || scheduler_.steps() > end_steps) return false;
  }
  return false;
}

Verdict World::run() {
  scheduler_.note("scenario {}: {} partitions, {} instances of {} workers, {} records",
                  scenario_.name, scenario_.partitions, scenario_.instances, scenario_.workers,
                  scenario_.records);
  for (const auto& instance : instances_) instance->start();
  scheduler_.spawn(nature_, [this] { produce(); });
  scheduler_.spawn(nature_, [this] { break_things(); });
  // Faults may keep it from ending; healing is then what must bring it to rest.
  run_until([this] { return appended_ >= scenario_.records; }, 120'000'000, 300'000);
  if (scheduler_.verdict().empty()) {
    scheduler_.note("healed");
    heal();
    if (!run_until([this] { return appended_ >= scenario_.records && settled(); }, 600'000'000,
                   600'000)) {
      scheduler_.broken("everything is well again, but it does not come to rest:" +
                        auditor_.pending() + "; " + scheduler_.describe());
    }
  }
  if (scheduler_.verdict().empty()) {
    // Nothing may move once all is settled.
    run_until([] { return false; }, 400'000, 1'000);
    count_classes();
    const std::string broken = auditor_.at_rest(database_.tables(), scheduler_.coverage());
    if (!broken.empty()) scheduler_.broken(broken);
  }
  Verdict verdict{scheduler_.verdict(), scheduler_.digest(), scheduler_.coverage()};
  if (!verdict.broken.empty()) verdict.broken += fmt::format(" [{}]", scenario_.name);
  return verdict;
}

void World::count_classes() {
  Coverage& coverage = scheduler_.coverage();
  coverage.count(Event::kHandedOnAgain, auditor_.handed_on());
  for (const auto& [where, line] : database_.tables().ledger) {
    coverage.count(Event::kDuplicate, line.duplicate);
    coverage.count(Event::kConflict, line.conflict);
    coverage.count(Event::kLate, line.late);
    coverage.count(Event::kRejected, line.rejected);
    coverage.count(Event::kUnmetered, line.unmetered);
    coverage.count(Event::kFiltered, line.filtered);
    coverage.count(Event::kUnverifiable, line.unverifiable);
    coverage.count(Event::kRetentionLost, line.lost);
  }
  for (const auto& [where, count] : database_.tables().meter_rejects)
    coverage.count(Event::kMeterReject, count);
}

}  // namespace tally::simulation
