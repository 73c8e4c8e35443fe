#include "tests/golden/stage.h"

#include "aggregator/meter_set.h"
#include "core/calendar.h"
#include "core/catalogue.h"
#include "core/limits.h"
#include "core/time_zone.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace tally::golden {

using simulation::EntryKind;
using simulation::LogEntry;

namespace {

constexpr std::int64_t kSendGapUs = 12'000;  // some records to a commit
constexpr int kMostDeaths = 3;

core::Catalogue catalogue_of(const GoldenCase& golden) {
  auto catalogue = core::parse_catalogue(golden.catalogue);
  if (!catalogue) throw BadCase(golden.name + ": catalogue: " + catalogue.error().message);
  return std::move(catalogue).value();
}

simulation::TenantRows tenants_of(const GoldenCase& golden, const core::Catalogue& catalogue) {
  simulation::TenantRows rows;
  std::map<std::string, std::vector<core::Window>> periods;
  for (const Period& period : golden.periods) {
    rows.periods.push_back({period.tenant, period.start_seconds, period.end_seconds});
    periods[period.tenant].push_back({core::Timestamp::from_seconds(period.start_seconds),
                                      core::Timestamp::from_seconds(period.end_seconds)});
  }
  aggregator::TenantBook::Calendars calendars;
  for (const core::Tenant& tenant : catalogue.tenants) {
    auto zone = core::TimeZone::load(tenant.time_zone);
    if (!zone) throw BadCase(golden.name + ": tenant " + tenant.id + ": " + zone.error().message);
    calendars.emplace(tenant.id, core::Calendar(std::move(zone).value(), periods[tenant.id],
                                                tenant.stripe_customer ? core::Payment::kStripe
                                                                       : core::Payment::kNone));
  }
  rows.book = std::make_shared<const aggregator::TenantBook>(std::move(calendars));
  return rows;
}

simulation::GroupRules group_rules() {
  simulation::GroupRules rules;
  rules.largest_poll = 3;
  return rules;
}

}  // namespace

Stage::Stage(const GoldenCase& golden, const Variant& variant, aggregator::Probe& probe,
             bool tracing)
    : golden_(golden),
      variant_(variant),
      probe_(probe),
      stream_(arrange(golden, variant)),
      scheduler_(variant.seed),
      log_(variant.partitions),
      lingering_(scheduler_, database_),
      plant_{scheduler_, database_, lingering_, variant.faults},
      group_(scheduler_, log_, group_rules()) {
  scheduler_.tracing = tracing;
  const core::Catalogue catalogue = catalogue_of(golden);
  database_.catalogues = {std::make_shared<aggregator::MeterSet>(
      catalogue.meters, core::CatalogueVersion(1), core::CatalogueVersion(1))};
  database_.tenants = {tenants_of(golden, catalogue)};
  database_.clock = core::Timestamp::from_millis(
      std::max_element(golden.records.begin(), golden.records.end(),
                       [](const auto& a, const auto& b) { return a.log_time_ms < b.log_time_ms; })
          ->log_time_ms);
  plant_.on_step = [this](aggregator::StoreStep step) { on_step(step); };
  group_.on_mirrored = [this](std::int32_t, std::int64_t) { on_mirrored(); };
  make_instances();
}

Stage::~Stage() { scheduler_.crash_all(); }

void Stage::make_instances() {
  for (std::size_t i = 0; i < variant_.instances; ++i) {
    simulation::InstanceSettings settings;
    settings.name = fmt::format("instance {}", i);
    settings.static_id = fmt::format("static-{}", i);  // one that was killed need not be waited for
    settings.session.topic = "usage.events";
    settings.session.owner = settings.name;
    settings.session.commit_interval = std::chrono::milliseconds(20);
    settings.session.horizon_seconds = core::kDedupHorizonSeconds;
    settings.session.future_bound_seconds = core::kFutureBoundSeconds;
    settings.roll_up_per_mille = 1000;
    instances_.push_back(
        std::make_unique<simulation::Instance>(std::move(settings), plant_, group_, probe_));
    instances_.back()->known_partitions = variant_.partitions;
  }
}

// Each life dies one such moment later than the one before it.
void Stage::on_step(aggregator::StoreStep step) {
  // The answer to a COMMIT must be lost before anybody resolves what became of it.
  if (variant_.killed_at == aggregator::StoreStep::kResolving) {
    const bool lose = step == aggregator::StoreStep::kInCommit && deaths_ < kMostDeaths;
    plant_.rules.lost_answer_per_mille = lose ? 1000 : 0;
  }
  if (variant_.killed_at == step && deaths_ < kMostDeaths && ++seen_in_this_life_ > deaths_)
    strike();
}

void Stage::on_mirrored() {
  if (variant_.killed_after_mirror && deaths_ < kMostDeaths && ++seen_in_this_life_ > deaths_)
    strike();
}

void Stage::strike() {
  ++deaths_;
  seen_in_this_life_ = 0;
  scheduler_.note("killed by the variant {}", variant_.name);
  scheduler_.current_process().crashed = true;
  throw simulation::Crashed();
}

void Stage::end_transactions(std::int32_t partition) {
  const auto found = open_.find(partition);
  if (found == open_.end()) return;
  log_.end_transaction(partition, found->second, log_.of(partition).last_time_ms);
  open_.erase(found);
}

void Stage::append(const Arranged& one) {
  const GoldenRecord& record = *one.record;
  LogEntry entry;
  entry.log_time_ms = record.log_time_ms;
  entry.key = record.key;
  entry.value = record.value;
  for (const auto& [name, value] : record.headers) entry.headers.push_back({name, value});
  if (record.delivery == Delivery::kGap) entry.kind = EntryKind::kControl;
  const bool transaction =
      record.delivery == Delivery::kCommitted || record.delivery == Delivery::kAborted;
  if (transaction) {
    // Open until the next record is sent: readers wait before it, whatever follows.
    end_transactions(one.partition);
    entry.kind = EntryKind::kOpen;
  }
  log_.append(one.partition, std::move(entry));
  scheduler_.note("sent: line {} to partition {}", record.line, one.partition);
  for (const auto& [partition, fate] : std::map(open_)) end_transactions(partition);
  if (transaction)
    open_[one.partition] =
        record.delivery == Delivery::kAborted ? EntryKind::kAborted : EntryKind::kRecord;
}

void Stage::send() {
  for (std::size_t i = 0; i < stream_.size(); ++i) {
    if (i != 0 && stream_[i].batch != stream_[i - 1].batch) {
      for (std::int32_t p = 0; p < log_.partitions(); ++p) end_transactions(p);
      while (!all_counted()) scheduler_.wait_until(scheduler_.now_us() + 20'000, nullptr);
    }
    append(stream_[i]);
    scheduler_.wait_until(scheduler_.now_us() + kSendGapUs, nullptr);
  }
  for (std::int32_t p = 0; p < log_.partitions(); ++p) end_transactions(p);
  sent_ = stream_.size();
  plant_.rules = {};
}

bool Stage::all_counted() const {
  if (!database_.tables().handoffs.empty()) return false;
  for (std::int32_t p = 0; p < log_.partitions(); ++p) {
    const auto end = static_cast<std::int64_t>(log_.of(p).entries.size());
    const auto state = database_.tables().states.find(p);
    if (end != (state == database_.tables().states.end() ? 0 : state->second.next)) return false;
  }
  return true;
}

bool Stage::run_until(const std::function<bool()>& done, std::int64_t most_us,
                      std::int64_t most_steps) {
  const std::int64_t end_us = scheduler_.now_us() + most_us;
  const std::int64_t end_steps = scheduler_.steps() + most_steps;
  while (scheduler_.now_us() <= end_us && scheduler_.steps() <= end_steps) {
    if (!scheduler_.run_one()) scheduler_.next_wake();
    scheduler_.reap();
    lingering_.settle_due();
    group_.expire();
    database_.kill_idle(scheduler_.now_us());
    for (const auto& instance : instances_) {
      if (!instance->running()) instance->start();
    }
    if (done()) return true;
  }
  return false;
}

std::string Stage::run() {
  for (const auto& instance : instances_) instance->start();
  scheduler_.spawn(nature_, [this] { send(); });
  const auto at_rest = [this] {
    return sent_ == stream_.size() && all_counted() && lingering_.empty();
  };
  if (!run_until(at_rest, 900'000'000, 900'000)) return "it does not come to rest";
  run_until([] { return false; }, 300'000, 1'000);  // nothing may move any more
  if (!all_counted()) return "it was at rest and moved again";
  const bool must_die = variant_.killed_at.has_value() || variant_.killed_after_mirror;
  if (must_die && deaths_ == 0) return "nothing was killed: the variant proves nothing here";
  if (std::string broken = check_offsets(); !broken.empty()) return broken;
  return check_handoffs();
}

std::string Stage::check_offsets() const {
  for (const auto& [partition, state] : tables().states) {
    std::int64_t accounted = 0;
    for (const auto& [where, line] : tables().ledger) {
      if (where.first != partition) continue;
      accounted += line.consumed + line.skipped + line.lost;
      if (line.consumed + line.received != line.classes())
        return fmt::format("partition {}: {} consumed and {} received are {} in the classes",
                           partition, line.consumed, line.received, line.classes());
    }
    if (accounted != state.next - state.base)
      return fmt::format("partition {}: offsets {} to {}, the ledger accounts for {}", partition,
                         state.base, state.next, accounted);
  }
  return {};
}

// Class `handed off` may differ between variants, but not by chance: what lies abroad and can be
// read goes home.
std::string Stage::check_handoffs() const {
  std::int64_t handed_off = 0;
  std::int64_t received = 0;
  for (const auto& [where, line] : tables().ledger) {
    handed_off += line.handed_off;
    received += line.received;
  }
  std::int64_t least = 0;
  std::int64_t most = 0;
  for (const Arranged& one : stream_) {
    const bool abroad = one.record->foreign != variant_.scattered && variant_.partitions > 1;
    if (!abroad || one.record->fate == Fate::kSkipped) continue;
    ++most;
    if (one.record->fate != Fate::kRejected) ++least;
  }
  if (handed_off == received && handed_off >= least && handed_off <= most) return {};
  return fmt::format("{} handed off and {} received, of {} to {} records on a foreign partition",
                     handed_off, received, least, most);
}

}  // namespace tally::golden
