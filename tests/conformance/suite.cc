#include "tests/conformance/suite.h"

#include "aggregator/fold.h"
#include "core/check.h"
#include "core/limits.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>

namespace tally::conformance {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::Deployment;
using aggregator::HandoffRow;
using aggregator::LedgerDelta;
using aggregator::PartitionState;
using aggregator::TotalsStore;
using core::DedupEntry;
using core::PartitionId;

namespace {

constexpr LogDay kHorizonDays = 36;

core::Timestamp noon(LogDay day) {
  return core::Timestamp::from_micros((std::int64_t{day} * aggregator::kMicrosPerDay) +
                                      (aggregator::kMicrosPerDay / 2));
}

aggregator::PartitionAdvance& guard(BatchPlan& plan, PartitionState& state, LogDay day) {
  const auto [found, added] = plan.partitions.try_emplace(state.id);
  if (added) {
    found->second.epoch = state.epoch;
    found->second.generation = state.generation;
    found->second.start = state.position;
    found->second.next = state.position;
  }
  state.last_log_time = std::max(state.last_log_time, noon(day));
  found->second.last_log_time = state.last_log_time;
  return found->second;
}

// One more record consumed.
void consume(BatchPlan& plan, PartitionState& state, LogDay day) {
  aggregator::PartitionAdvance& advance = guard(plan, state, day);
  state.last_offset = state.position;
  state.last_digest.emplace();
  state.position = core::Offset(state.position.value() + 1);
  advance.next = state.position;
  advance.last_offset = state.last_offset;
  advance.last_digest = state.last_digest;
  ++plan.ledger[{state.id, day}].consumed;
  ++plan.records;
}

}  // namespace

DedupEntry identity(std::uint32_t home_bits, std::uint64_t serial) {
  DedupEntry entry;
  entry.hi = (std::uint64_t{home_bits} << 33U) | (serial & 0x1ffffffffU);
  entry.lo = (serial * 0x9e3779b97f4a7c15ULL) << DedupEntry::kCheckBits;
  return entry;
}

std::vector<DedupEntry> identities_of(std::int32_t partition, std::int32_t partitions,
                                      std::size_t count, std::uint64_t serial) {
  std::vector<DedupEntry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    const auto step = static_cast<std::uint32_t>((i * 7919) + serial);
    entries.push_back(identity(
        (step * static_cast<std::uint32_t>(partitions)) + static_cast<std::uint32_t>(partition),
        (serial * 1'000'003) + i));
    TALLY_CHECK(entries.back().home() % static_cast<std::uint32_t>(partitions) ==
                static_cast<std::uint32_t>(partition));
  }
  return entries;
}

aggregator::dedup::SegmentToken fresh_token() {
  static std::mt19937_64 random{std::random_device{}()};
  aggregator::dedup::SegmentToken token;
  const std::uint64_t words[2] = {random(), random()};
  std::memcpy(token.bytes.data(), words, sizeof(words));
  return token;
}

core::Meter sum_meter(const std::string& slug) {
  core::Meter meter;
  meter.slug = slug;
  meter.event_type = "api.request";
  meter.aggregation = core::Aggregation::kSum;
  meter.value = {"tokens"};
  return meter;
}

void StoreConformance::SetUp() {
  store_ = GetParam().make();
  store_->change_catalogue({sum_meter("tokens")});
}

void StoreConformance::TearDown() {
  connections_.clear();
  store_.reset();
}

StoreConnection& StoreConformance::connect() {
  connections_.push_back(store_->connect());
  return *connections_.back();
}

void StoreConformance::finish(StoreConnection& connection) {
  if (connection.finish() != Halt::kFinished)
    throw std::runtime_error("the call waits for a lock of another connection");
  if (connection.failure()) std::rethrow_exception(connection.failure());
}

aggregator::OpenRequest StoreConformance::asking(std::int32_t partitions,
                                                 std::int64_t horizon_seconds,
                                                 std::int64_t future_bound_seconds) {
  return {kTopic, partitions, horizon_seconds, future_bound_seconds};
}

Deployment StoreConformance::open(StoreConnection& connection, std::int32_t partitions,
                                  std::int64_t horizon_seconds) {
  return run(connection,
             [&](TotalsStore& store) { return store.open(asking(partitions, horizon_seconds)); });
}

aggregator::AcquireRequest StoreConformance::request(std::int32_t partition,
                                                     const Deployment& deployment,
                                                     const std::string& cache_folder) {
  aggregator::AcquireRequest request;
  request.partition = PartitionId(partition);
  request.generation = deployment.generation;
  request.partitions = deployment.partitions;
  request.log_start = core::Offset(100);
  request.owner = "conformance";
  request.memory.horizon_days = kHorizonDays;
  request.memory.cache_folder = cache_folder;
  request.memory.deployment = 7;
  request.memory.partition = partition;
  request.memory.generation = deployment.generation.value();
  return request;
}

StoreConformance::State StoreConformance::acquire(StoreConnection& connection,
                                                  std::int32_t partition,
                                                  const Deployment& deployment,
                                                  const std::string& cache_folder) {
  return run(connection, [&](TotalsStore& store) {
    return store.acquire(request(partition, deployment, cache_folder));
  });
}

CommitOutcome StoreConformance::commit(StoreConnection& connection, const BatchPlan& plan) {
  return run(connection, [&](TotalsStore& store) { return store.commit(plan); });
}

aggregator::Resolution StoreConformance::resolve(StoreConnection& connection,
                                                 const BatchPlan& plan) {
  return run(connection, [&](TotalsStore& store) { return store.resolve(plan); });
}

aggregator::RollUp StoreConformance::roll_up(StoreConnection& connection,
                                             const PartitionState& state) {
  return run(connection, [&](TotalsStore& store) {
    return store.roll_up({state.id, state.epoch, state.generation});
  });
}

std::vector<HandoffRow> StoreConformance::waiting(StoreConnection& connection, std::int32_t home,
                                                  const std::set<core::HandoffId>& under_way,
                                                  std::optional<LogDay> last_day) {
  return run(connection, [&](TotalsStore& store) {
    return store.waiting_handoffs(PartitionId(home), under_way, last_day);
  });
}

BatchPlan StoreConformance::empty_plan(const Deployment& deployment) {
  BatchPlan plan;
  plan.topic = kTopic;
  plan.meters = deployment.meters;
  plan.totals.tenants = deployment.tenants;
  plan.topic_partitions = deployment.partitions;
  return plan;
}

void StoreConformance::count(BatchPlan& plan, PartitionState& state,
                             const std::vector<DedupEntry>& entries, LogDay day) {
  aggregator::Segment& segment = plan.segments[{state.id, day}];
  segment.token = fresh_token();
  for (const DedupEntry& entry : entries) {
    consume(plan, state, day);
    ++plan.ledger[{state.id, day}].counted;
    segment.entries.push_back(entry);
    const std::int64_t start = std::int64_t{day} * core::kDaySeconds;
    plan.totals.usage[plan.totals.key({"acme", 0, start, start + 3600, "{}"})] +=
        core::UsageDelta{core::Decimal::parse("2").value(), 1};
  }
}

BatchPlan StoreConformance::counting(const Deployment& deployment, PartitionState& state,
                                     const std::vector<DedupEntry>& entries, LogDay day) {
  BatchPlan plan = empty_plan(deployment);
  count(plan, state, entries, day);
  return plan;
}

void StoreConformance::hand_off(BatchPlan& plan, PartitionState& state, std::int32_t home,
                                const std::string& block, LogDay day) {
  consume(plan, state, day);
  ++plan.ledger[{state.id, day}].handed_off;
  aggregator::HandoffBlocks& blocks = plan.handoffs[{state.id, PartitionId(home)}];
  blocks.blocks.push_back({block, 1, day, day});
  ++blocks.records;
}

void StoreConformance::receive(BatchPlan& plan, PartitionState& state,
                               const std::vector<HandoffRow>& rows, LogDay day) {
  guard(plan, state, day);
  for (const HandoffRow& row : rows) {
    plan.taken[state.id].push_back({row.id, row.records});
    LedgerDelta& line = plan.ledger[{state.id, day}];
    line.received += row.records;
    line.filtered += row.records;
    plan.records += row.records;
  }
}

bool StoreConformance::remembers(const PartitionState& state, const DedupEntry& entry,
                                 LogDay today) {
  return state.memory.probe(entry, today) != aggregator::dedup::Seen::kNever;
}

bool StoreConformance::remembers_all(const PartitionState& state,
                                     const std::vector<DedupEntry>& entries, LogDay today) {
  return std::all_of(entries.begin(), entries.end(),
                     [&](const DedupEntry& entry) { return remembers(state, entry, today); });
}

}  // namespace tally::conformance
