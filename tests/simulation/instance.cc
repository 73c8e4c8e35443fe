#include "tests/simulation/instance.h"

#include "aggregator/worker.h"
#include "tests/simulation/sim_committer.h"

#include <cstring>
#include <utility>

namespace tally::simulation {

namespace {

aggregator::Environment bind(const InstanceSettings& settings, Plant& plant, SimGroup& group,
                             aggregator::Probe& probe, aggregator::Pace& pace,
                             std::int32_t& known_partitions) {
  return aggregator::Environment{
      [&](runtime::kafka::RebalanceListener& listener, aggregator::Membership membership) {
        const bool configured = membership == aggregator::Membership::kConfigured;
        return std::make_unique<SimSource>(group, configured ? settings.static_id : std::string(),
                                           known_partitions, listener);
      },
      [&] { return std::make_unique<ProcessStore>(plant, settings.name); },
      [&](std::unique_ptr<aggregator::TotalsStore> store) {
        return std::make_unique<SimCommitter>(std::move(store), probe, plant, settings.name,
                                              settings.roll_up_per_mille);
      },
      pace,
      [&] {
        aggregator::dedup::SegmentToken token;
        const std::uint64_t words[] = {plant.scheduler.dice().next(),
                                       plant.scheduler.dice().next()};
        static_assert(sizeof(words) == sizeof(token.bytes));
        std::memcpy(token.bytes.data(), words, sizeof(words));
        return token;
      }};
}

}  // namespace

Instance::Instance(InstanceSettings settings, Plant& plant, SimGroup& group,
                   aggregator::Probe& probe)
    : settings_(std::move(settings)),
      plant_(plant),
      group_(group),
      probe_(probe),
      pace_(plant.scheduler),
      environment_(bind(settings_, plant_, group_, probe_, pace_, known_partitions)) {}

Instance::~Instance() = default;

void Instance::start() {
  pace_.stop = false;
  finished_ = false;
  process_ = std::make_shared<Process>();
  plant_.scheduler.note("{}: starts", settings_.name);
  plant_.scheduler.spawn(process_, [this] {
    aggregator::run_worker(settings_.session, environment_, probe_);
    plant_.scheduler.note("{}: stopped", settings_.name);
    finished_ = true;
  });
}

void Instance::kill() {
  if (!running()) return;
  plant_.scheduler.note("{}: killed", settings_.name);
  process_->crashed = true;
}

void Instance::freeze(std::int64_t until_us) {
  if (!running()) return;
  plant_.scheduler.note("{}: stopped by a signal for {} ms", settings_.name,
                        (until_us - plant_.scheduler.now_us()) / 1000);
  process_->stopped_until_us = until_us;
}

}  // namespace tally::simulation
