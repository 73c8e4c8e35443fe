#include "exporter/cycle.h"
#include "tests/simulation/exporter/export_world.h"

#include <deque>
#include <exception>
#include <memory>
#include <optional>

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

// Each request in a fiber of its own.
class SimLanes final : public exporter::Lanes {
 public:
  SimLanes(Scheduler& scheduler, SimStripe& stripe, std::size_t count)
      : scheduler_(scheduler), stripe_(stripe), count_(count) {}
  [[nodiscard]] std::size_t count() const override { return count_; }
  void start(exporter::Sending sending) override {
    scheduler_.spawn(
        scheduler_.current_process_shared(),
        [this_scheduler = &scheduler_, stripe = &stripe_, done = done_, mine = std::move(sending)] {
          this_scheduler->point();  // a process that was killed meanwhile sends nothing
          SimMeterEvents api(*stripe);
          const auto now = [this_scheduler] { return wall_clock(*this_scheduler); };
          done->push_back({mine.tag, exporter::send_in_time(api, now, mine)});
        });
  }
  std::optional<exporter::Answered> next(std::chrono::milliseconds time) override {
    scheduler_.wait_until(scheduler_.now_us() + time.count() * 1'000,
                          [done = done_] { return !done->empty(); });
    if (done_->empty()) return std::nullopt;
    exporter::Answered answered = std::move(done_->front());
    done_->pop_front();
    return answered;
  }

 private:
  Scheduler& scheduler_;
  SimStripe& stripe_;
  std::size_t count_;
  // Outlives the one that sends: a process may be killed, or its database gone, meanwhile.
  std::shared_ptr<std::deque<exporter::Answered>> done_ =
      std::make_shared<std::deque<exporter::Answered>>();
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
        const auto send = [&](std::vector<exporter::OutboxRow> rows) {
          return send_all(std::move(rows), store->session());
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
                                              std::int64_t session) {
  Dice& dice = plant_.scheduler.dice();
  SimClock clock(plant_.scheduler);
  SimDeliveryLog log(plant_, session);
  SimLanes lanes(plant_.scheduler, stripe_, scenario_.in_flight);
  exporter::SenderOptions options;
  options.group_rows = 1 + dice.below(8);
  options.seed = dice.next();
  exporter::SendPace pace(dice.one_in(2) ? 0 : dice.between(1, 50), scenario_.in_flight);
  exporter::Sender sender(lanes, pace, log, clock, options);
  const exporter::SendCounts counts = sender.run(std::move(rows));
  plant_.coverage.count(Event::kDuplicate, static_cast<std::int64_t>(counts.duplicates));
  return counts;
}

}  // namespace tally::simulation::exporting
