#include "tests/simulation/instance.h"

#include "aggregator/worker.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace tally::simulation {

struct Instance::Life {
  Life(Plant& plant, const InstanceSettings& settings)
      : commits(std::make_unique<ProcessStore>(plant, settings.name, settings.roll_up_per_mille),
                plant.scheduler, aggregator::longest_poll(settings.session.commit_interval)) {}

  SimCommitGroup commits;
  std::size_t running_workers = 0;
};

Instance::Instance(InstanceSettings settings, Plant& plant, SimGroup& group,
                   aggregator::Probe& probe)
    : settings_(std::move(settings)),
      plant_(plant),
      group_(group),
      probe_(probe),
      pace_(plant.scheduler) {}

Instance::~Instance() = default;

aggregator::Environment Instance::environment(std::size_t worker, SimCommitGroup& commits) {
  const std::string static_id =
      settings_.static_id.empty() ? "" : fmt::format("{}-{}", settings_.static_id, worker);
  return {[this, static_id](runtime::kafka::RebalanceListener& listener,
                            aggregator::Membership membership) {
            const bool configured = membership == aggregator::Membership::kConfigured;
            return std::make_unique<SimSource>(group_, configured ? static_id : std::string(),
                                               known_partitions, listener);
          },
          [this] { return std::make_unique<ProcessStore>(plant_, settings_.name); },
          [this, &commits] { return commits.group.join(probe_); }, pace_,
          [this] {
            aggregator::dedup::SegmentToken token;
            const std::uint64_t words[] = {plant_.scheduler.dice().next(),
                                           plant_.scheduler.dice().next()};
            static_assert(sizeof(words) == sizeof(token.bytes));
            std::memcpy(token.bytes.data(), words, sizeof(words));
            return token;
          }};
}

void Instance::run_worker(std::size_t worker, Life& life) {
  aggregator::Environment bound = environment(worker, life.commits);
  aggregator::SessionSettings session = settings_.session;
  session.owner = fmt::format("{}, worker {}", settings_.name, worker);
  aggregator::run_worker(session, bound, probe_);
  if (--life.running_workers == 0) life.commits.group.stop();
}

void Instance::start() {
  pace_.stop = false;
  finished_ = false;
  process_ = std::make_shared<Process>();
  plant_.scheduler.note("{}: starts", settings_.name);
  const auto life = std::make_shared<Life>(plant_, settings_);
  life->running_workers = settings_.workers;
  for (std::size_t worker = 0; worker < settings_.workers; ++worker)
    plant_.scheduler.spawn(process_, [this, worker, life] { run_worker(worker, *life); });
  plant_.scheduler.spawn(process_, [this, life] {
    life->commits.group.run();
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
