#include "aggregator/committer.h"

#include "core/check.h"
#include "runtime/log/log.h"
#include "runtime/postgres/connection.h"
#include "runtime/retry/backoff.h"

#include <utility>

namespace tally::aggregator {

using namespace std::chrono_literals;

Committer::Committer(std::unique_ptr<TotalsStore> store, Probe& probe)
    : store_(std::move(store)), probe_(probe), thread_([this] { run(); }) {}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Committer::busy() const {
  const std::lock_guard lock(mutex_);
  return busy_ || report_.has_value();
}

void Committer::submit(std::unique_ptr<BatchPlan> plan) {
  {
    const std::lock_guard lock(mutex_);
    TALLY_CHECK(!busy_ && !report_ && plan && !plan->empty());
    plan_ = std::move(plan);
    busy_ = true;
  }
  changed_.notify_all();
}

std::optional<CommitReport> Committer::take_report(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  if (!busy_ && !report_) return std::nullopt;
  changed_.wait_for(lock, time, [this] { return report_.has_value(); });
  return std::exchange(report_, std::nullopt);
}

bool Committer::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stopping_; });
}

void Committer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || plan_ != nullptr; });
    if (stopping_) return;
    auto plan = std::move(plan_);
    lock.unlock();
    const auto started = Probe::Clock::now();
    const std::optional<PlanFate> fate = settle(*plan);
    if (fate == PlanFate::kCommitted) {
      const auto took = Probe::Clock::now() - started;
      probe_.committed(*plan, took);
      runtime::log::write(
          runtime::log::Level::kDebug, "committed",
          {{"records", plan->records},
           {"windows", plan->totals.windows()},
           {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
    }
    lock.lock();
    if (!fate) return;
    report_ = CommitReport{*fate, std::move(plan)};
    busy_ = false;
    changed_.notify_all();
  }
}

std::optional<PlanFate> Committer::settle(const BatchPlan& plan) {
  runtime::retry::Backoff backoff(100ms, 5s, static_cast<std::uint64_t>(plan.records));
  bool in_doubt = false;
  for (;;) {
    try {
      if (in_doubt) {
        const Resolution resolution = store_->resolve(plan);
        runtime::log::info("commit_resolved",
                           {{"outcome", resolution == Resolution::kCommitted      ? "committed"
                                        : resolution == Resolution::kNotCommitted ? "not committed"
                                                                                  : "fenced"}});
        probe_.problem("postgres", "");
        if (resolution == Resolution::kCommitted) return PlanFate::kCommitted;
        if (resolution == Resolution::kFenced) return PlanFate::kFenced;
        in_doubt = false;
      }
      const CommitOutcome outcome = store_->commit(plan);
      probe_.problem("postgres", "");
      if (outcome == CommitOutcome::kFenced) return PlanFate::kFenced;
      return outcome == CommitOutcome::kCommitted ? PlanFate::kCommitted
                                                  : PlanFate::kCatalogueMoved;
    } catch (const std::exception& failure) {
      // Whatever broke, and wherever: the outcome is unknown until it was read under lock.
      in_doubt = true;
      probe_.commit_failed();
      probe_.problem("postgres", failure.what());
      runtime::log::warn("commit_failed", {{"reason", failure.what()}, {"records", plan.records}});
    }
    if (!pause(backoff.next())) return std::nullopt;
  }
}

}  // namespace tally::aggregator
