#include "exporter/cycle.h"
#include "tests/simulation/exporter/export_world.h"

#include <exception>
#include <limits>

namespace tally::simulation::exporting {
namespace {

class SimClock final : public exporter::SenderClock {
 public:
  explicit SimClock(Scheduler& scheduler) : scheduler_(scheduler) {}
  core::Timestamp now() override { return wall_clock(scheduler_); }
  bool wait(std::chrono::milliseconds time) override {
    if (time.count() > 0) scheduler_.wait_until(scheduler_.now_us() + time.count() * 1'000, {});
    return true;
  }

 private:
  Scheduler& scheduler_;
};

// What the workers of one cycle leave to the fiber that waits for them.
struct Shared {
  std::size_t running = 0;
  exporter::SendCounts counts;
  std::exception_ptr failure;
};

}  // namespace

void ExportInstance::start() {
  process_ = std::make_shared<Process>();
  busy_ = false;
  plant_.scheduler.note("an exporter starts");
  plant_.scheduler.spawn(process_, [this] { run(); });
}

void ExportInstance::freeze(std::int64_t until_us) {
  if (running()) process_->stopped_until_us = until_us;
}

void ExportInstance::thaw() {
  if (process_) process_->stopped_until_us = 0;
}

void ExportInstance::run() {
  SimClock clock(plant_.scheduler);
  SimMeterEvents api(stripe_);
  std::unique_ptr<SimExportStore> store;
  while (true) {
    try {
      if (!store) store = std::make_unique<SimExportStore>(plant_);
      if (store->try_hold()) {
        const auto send = [&](std::vector<exporter::OutboxRow> rows,
                              exporter::StopSending& stop_sending) {
          return send_all(std::move(rows), stop_sending, store->session());
        };
        busy_ = true;
        const auto after = plant_.scheduler.dice().one_in(8) ? exporter::AfterRejection::kTryNow
                                                             : exporter::AfterRejection::kWait;
        (void)exporter::run_cycle(*store, api, clock, after, send);
        (void)store->standing();
      }
    } catch (const std::exception& failure) {
      plant_.scheduler.note("cycle failed: {}", failure.what());
      store.reset();
    }
    busy_ = false;
    clock.wait(std::chrono::seconds(scenario_.interval_seconds));
  }
}

exporter::SendCounts ExportInstance::send_all(std::vector<exporter::OutboxRow> rows,
                                              exporter::StopSending& stop_sending,
                                              std::int64_t session) {
  auto shards = exporter::shard_by_customer(std::move(rows), scenario_.workers);
  const auto shared = std::make_shared<Shared>();
  for (auto& shard : shards) {
    if (shard.empty()) continue;
    ++shared->running;
    plant_.scheduler.spawn(
        process_, [this, shared, session, &stop_sending, mine = std::move(shard)]() mutable {
          try {
            SimClock clock(plant_.scheduler);
            SimDeliveryLog log(plant_, session);
            SimMeterEvents api(stripe_);
            exporter::SenderOptions options;
            options.group_rows = 1 + plant_.scheduler.dice().below(4);
            options.seed = plant_.scheduler.dice().next();
            exporter::Sender sender(api, log, clock, stop_sending, options);
            shared->counts.add(sender.run(std::move(mine)));
          } catch (const std::exception&) {
            shared->failure = std::current_exception();
            stop_sending.stop("another worker failed");
          }
          --shared->running;
        });
  }
  plant_.scheduler.wait_until(std::numeric_limits<std::int64_t>::max(),
                              [shared] { return shared->running == 0; });
  plant_.coverage.count(Event::kDuplicate, static_cast<std::int64_t>(shared->counts.duplicates));
  if (shared->failure) std::rethrow_exception(shared->failure);
  return shared->counts;
}

}  // namespace tally::simulation::exporting
