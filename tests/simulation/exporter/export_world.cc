#include "tests/simulation/exporter/export_world.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::simulation::exporting {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
// An unknown outcome is read back after a day, and a rejection may wait for one.
constexpr std::int64_t kMostSettlingSeconds = 6 * 86'400;

core::Timestamp at_second(std::int64_t seconds) {
  return core::Timestamp::from_seconds(kEpochSeconds + seconds);
}

}  // namespace

ExportScenario export_scenario_of(std::uint64_t seed) {
  Dice dice(seed ^ 0x7461'6c6c'79ULL);
  ExportScenario scenario;
  scenario.instances = 1 + dice.below(3);
  scenario.in_flight = 1 + dice.below(6);
  scenario.interval_seconds =
      dice.one_in(3) ? dice.between(300, 1'200) : dice.between(1'200, 14'400);
  const std::int64_t cycles = dice.between(15, 60);
  scenario.length_seconds = std::max<std::int64_t>(cycles * scenario.interval_seconds, 43'200);
  scenario.uses = 10 + dice.below(60);
  const auto chance = [&dice](std::int64_t most) {
    return dice.one_in(2) ? dice.between(0, most) : 0;
  };
  StripeRules& stripe = scenario.stripe;
  switch (dice.below(5)) {
    case 0:
      scenario.name = "calm";
      return scenario;
    case 1:
      scenario.name = "outages";
      scenario.fault_gap_seconds = scenario.length_seconds / 4;
      scenario.longest_outage_seconds = 50 * 3'600;
      stripe.answer_lost = chance(400);
      break;
    case 2:
      scenario.name = "two at once";
      scenario.instances = 2 + dice.below(2);
      scenario.fault_gap_seconds = scenario.length_seconds / 8;
      scenario.longest_outage_seconds = 30 * 3'600;
      scenario.freeze_weight = 6;
      break;
    default:
      scenario.name = "everything";
      scenario.fault_gap_seconds = scenario.length_seconds / 6;
      scenario.longest_outage_seconds = 10 * 3'600;
      scenario.freeze_weight = 2;
  }
  stripe.not_connected = chance(150);
  stripe.request_lost = chance(150);
  stripe.answer_lost = std::max(stripe.answer_lost, chance(200));
  stripe.arrives_late = chance(150);
  stripe.conflict = chance(100);
  stripe.rate_limited = chance(150);
  stripe.lock_timeout = chance(100);
  stripe.stored_500 = chance(150);
  stripe.unstored_5xx = chance(150);
  stripe.key_refused = chance(20);
  stripe.meter_unknown = chance(150);
  stripe.reading_failed = chance(400);
  stripe.most_lag_seconds = chance(3'500);
  scenario.store.broken = chance(40);
  scenario.store.answer_lost = chance(60);
  scenario.store.killed = chance(25);
  return scenario;
}

ExportWorld::ExportWorld(std::uint64_t seed, bool tracing)
    : scenario_(export_scenario_of(seed)),
      scheduler_(seed),
      usage_(scheduler_.dice(), at_second(0), at_second(scenario_.length_seconds)),
      books_(scheduler_, coverage_, usage_),
      stripe_(scheduler_, coverage_),
      plant_{scheduler_, coverage_, books_, scenario_.store},
      auditor_(scheduler_, coverage_, usage_, books_, stripe_) {
  scheduler_.tracing = tracing;
  stripe_.rules = scenario_.stripe;
  stripe_.on_taken = [this](const exporter::MeterEvent& event) { auditor_.taken(event); };
  for (std::size_t i = 0; i < scenario_.instances; ++i)
    instances_.push_back(std::make_unique<ExportInstance>(plant_, stripe_, scenario_));
}

ExportWorld::~ExportWorld() { scheduler_.crash_all(); }

void ExportWorld::use() {
  const std::int64_t gap_us =
      scenario_.length_seconds * kSecondUs / static_cast<std::int64_t>(scenario_.uses + 1);
  for (; used_ < scenario_.uses; ++used_) {
    scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(0, 2 * gap_us), {});
    switch (usage_.use_one(wall_clock(scheduler_))) {
      case Usage::Kind::kCorrected:
        coverage_.count(Event::kCorrection);
        break;
      case Usage::Kind::kLate:
        coverage_.count(Event::kLateUse);
        break;
      case Usage::Kind::kHuge:
        coverage_.count(Event::kSplit);
        break;
      case Usage::Kind::kNone:
      case Usage::Kind::kGrew:
      case Usage::Kind::kStated:
        break;
    }
  }
}

void ExportWorld::break_things() {
  if (scenario_.fault_gap_seconds == 0) return;
  while (true) {
    const std::int64_t gap_us = scenario_.fault_gap_seconds * kSecondUs;
    scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(0, 2 * gap_us), {});
    if (calm_) return;
    strike();
  }
}

void ExportWorld::stripe_is_away() {
  Dice& dice = scheduler_.dice();
  const std::int64_t seconds = dice.between(60, scenario_.longest_outage_seconds);
  coverage_.count(seconds > 86'400 ? Event::kLongOutage : Event::kStripeOutage);
  stripe_.outage = static_cast<Outage>(1 + dice.below(4));
  scheduler_.note("Stripe is away for {} s", seconds);
  scheduler_.wait_until(scheduler_.now_us() + seconds * kSecondUs, [this] { return calm_; });
  stripe_.outage = Outage::kNone;
  scheduler_.note("Stripe is back");
}

void ExportWorld::strike() {
  Dice& dice = scheduler_.dice();
  ExportInstance& instance = *instances_[dice.below(instances_.size())];
  if (dice.below(10) < static_cast<std::size_t>(scenario_.freeze_weight)) {
    // Stopped, at times for so long that the server ends its session.
    scheduler_.wait_until(scheduler_.now_us() + scenario_.fault_gap_seconds * kSecondUs,
                          [&] { return calm_ || instance.busy(); });
    scheduler_.wait_until(scheduler_.now_us() + dice.between(0, 2 * kSecondUs), {});
    if (calm_) return;
    if (instance.busy()) coverage_.count(Event::kFrozen);
    instance.freeze(scheduler_.now_us() + dice.between(1, 30 * 3'600) * kSecondUs);
    if (dice.one_in(4)) return;
    coverage_.count(Event::kLockLost);
    books_.exporter_lock = 0;
    return;
  }
  switch (dice.below(4)) {
    case 0:
    case 1:
      return stripe_is_away();
    case 2: {
      coverage_.count(Event::kStoreOutage);
      plant_.store_away = true;
      scheduler_.wait_until(scheduler_.now_us() + dice.between(1, 7'200) * kSecondUs,
                            [this] { return calm_; });
      plant_.store_away = false;
      return;
    }
    default: {
      const std::string name = usage_.series[dice.below(usage_.series.size())].event_name;
      stripe_.inactive.insert(name);
      scheduler_.wait_until(scheduler_.now_us() + dice.between(60, 36'000) * kSecondUs,
                            [this] { return calm_; });
      stripe_.inactive.erase(name);
    }
  }
}

void ExportWorld::revive() {
  scheduler_.reap();
  for (const auto& instance : instances_) {
    if (!instance->running()) instance->start();
  }
}

void ExportWorld::heal() {
  scheduler_.note("healed");
  calm_ = true;
  plant_.rules = {};
  plant_.store_away = false;
  stripe_.rules = {};
  stripe_.outage = Outage::kNone;
  stripe_.inactive.clear();
  for (const auto& instance : instances_) instance->thaw();
}

bool ExportWorld::run_until(const std::function<bool()>& done, std::int64_t most_seconds) {
  const std::int64_t end_us = scheduler_.now_us() + most_seconds * kSecondUs;
  while (scheduler_.verdict().empty()) {
    if (!scheduler_.run_one()) {
      if (done()) return true;
      scheduler_.next_wake();
    }
    revive();
    if (scheduler_.now_us() > end_us) return false;
  }
  return false;
}

std::string ExportWorld::run() {
  scheduler_.note(
      "scenario {}: {} series, {} periods, {} instances, {} requests at once, every {} s",
      scenario_.name, usage_.series.size(), usage_.periods.size(), scenario_.instances,
      scenario_.in_flight, scenario_.interval_seconds);
  scheduler_.spawn(nature_, [this] { use(); });
  scheduler_.spawn(nature_, [this] { break_things(); });
  revive();
  run_until([this] { return used_ == scenario_.uses; }, 3 * scenario_.length_seconds);
  if (scheduler_.verdict().empty()) {
    heal();
    if (!run_until([this] { return used_ == scenario_.uses && auditor_.settled(); },
                   kMostSettlingSeconds))
      scheduler_.broken("everything is well again, but it does not come to rest: " +
                        auditor_.pending());
  }
  if (scheduler_.verdict().empty()) {
    const std::string broken = auditor_.at_rest();
    if (!broken.empty()) scheduler_.broken(broken);
  }
  return scheduler_.verdict().empty()
             ? std::string()
             : fmt::format("{} [{}]", scheduler_.verdict(), scenario_.name);
}

}  // namespace tally::simulation::exporting
