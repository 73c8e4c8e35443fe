#include "exporter/exporter.h"

#include "runtime/log/log.h"

#include <fmt/core.h>

#include <algorithm>
#include <exception>
#include <stdexcept>

namespace tally::exporter {
namespace {

namespace log = runtime::log;
constexpr std::chrono::milliseconds kLockPoll{500};
constexpr std::chrono::milliseconds kLongestWait{30'000};
constexpr int kMaxRounds = 1'000;  // far beyond kMaxChunks parts of several periods

// The process' clock, and a wait that SIGTERM and the deadline end.
class SystemClock final : public SenderClock {
 public:
  SystemClock(const runtime::lifecycle::StopSignal& stop, std::optional<core::Timestamp> until)
      : stop_(stop), until_(until) {}
  core::Timestamp now() override { return system_now(); }
  bool wait(std::chrono::milliseconds time) override {
    if (!until_.has_value()) return !stop_.wait_for(time);
    const std::chrono::milliseconds left(
        std::max<std::int64_t>(0, until_->millis() - now().millis()));
    return !stop_.wait_for(std::min(time, left)) && now() < *until_;
  }

 private:
  const runtime::lifecycle::StopSignal& stop_;
  std::optional<core::Timestamp> until_;
};

}  // namespace

core::Timestamp system_now() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return core::Timestamp::from_micros(
      std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

Exporter::Exporter(ExporterSettings settings, ApiFactory apis, Probe& probe,
                   const runtime::lifecycle::StopSignal& stop)
    : settings_(std::move(settings)),
      apis_(std::move(apis)),
      probe_(probe),
      stop_(stop),
      lanes_(settings_.in_flight, apis_, system_now),
      pace_(settings_.requests_per_second, settings_.in_flight) {}

bool Exporter::hold_lock() {
  if (!store_) store_ = std::make_unique<PostgresStore>(settings_.conninfo);
  return store_->try_hold();
}

void Exporter::forget_connections() {
  store_.reset();
  delivery_connection_.reset();
}

SendCounts Exporter::send_all(std::vector<OutboxRow> rows) {
  if (!delivery_connection_ || !delivery_connection_->is_open()) {
    delivery_connection_ = std::make_unique<runtime::postgres::Connection>(settings_.conninfo,
                                                                           "tally-exporter sender");
    delivery_connection_->exec("SET synchronous_commit = on");
  }
  PostgresDeliveryLog delivery_log(*delivery_connection_);
  SystemClock clock(stop_, settings_.until);
  SenderOptions options = settings_.sender;
  options.until = settings_.until;
  options.seed = static_cast<std::uint64_t>(system_now().micros());
  Sender sender(lanes_, pace_, delivery_log, clock, options,
                [this](const Decision& decision, std::chrono::microseconds took) {
                  probe_.answered(decision, took);
                });
  return sender.run(std::move(rows));
}

Cycle Exporter::run_one_cycle(AfterRejection after_rejection) {
  SystemClock clock(stop_, settings_.until);
  if (!reader_) reader_ = apis_();
  Cycle cycle =
      run_cycle(*store_, *reader_, clock, after_rejection,
                [this](std::vector<OutboxRow> rows) { return send_all(std::move(rows)); });
  probe_.planned(cycle.plan);
  probe_.sent(cycle.sent);
  return cycle;
}

bool Exporter::cycle_and_log() {
  try {
    if (!hold_lock()) {
      probe_.waiting_for_other_exporter();
      log::warn("waiting", {{"reason", "another tally-exporter works on this database"}});
      return false;
    }
    const Cycle cycle = run_one_cycle(AfterRejection::kWait);
    log::info("cycle", {{"rows_planned", cycle.plan.rows.size()},
                        {"delivered", cycle.sent.delivered},
                        {"rejected", cycle.sent.rejected},
                        {"uncertain", cycle.sent.uncertain},
                        {"read_back", cycle.read_back.readings},
                        {"read_back_absent", cycle.read_back.absent},
                        {"read_back_held", cycle.read_back.held},
                        {"left", cycle.sent.left},
                        {"held_periods", cycle.plan.held.size()},
                        {"attempts", cycle.sent.attempts}});
    for (const std::string& meter : cycle.plan.not_exported) {
      log::warn("not_exported", {{"reason", meter}});
    }
    if (!cycle.sent.stopped_because.empty()) throw std::runtime_error(cycle.sent.stopped_because);
    const OutboxStanding standing = store_->standing();
    if (cycle.sent.left > 0 && cycle.sent.delivered == 0 && !stop_.requested()) {
      throw std::runtime_error(fmt::format(
          "{} rows are open and Stripe took none of them: see tally.export_attempt; they are sent "
          "again with the same identifiers",
          cycle.sent.left));
    }
    probe_.cycle_succeeded(system_now(), standing);
    return !cycle.plan.more_follows &&
           standing.planned + standing.sending + standing.uncertain == 0;
  } catch (const std::exception& failure) {
    forget_connections();
    probe_.cycle_failed(failure.what());
    log::error("cycle_failed", {{"reason", failure.what()}});
    return false;
  }
}

bool Exporter::must_end() const {
  return stop_.requested() || (settings_.until.has_value() && system_now() >= *settings_.until);
}

void Exporter::wait_for_next(core::Timestamp started, bool is_settled) {
  SystemClock clock(stop_, settings_.until);
  while (!must_end()) {
    const core::Timestamp now = system_now();
    started = std::min(started, now);  // the clock was set back
    const std::int64_t left_us =
        settings_.schedule.next_look(started, is_settled).micros() - now.micros();
    if (left_us <= 0) return;
    // In pieces, as the clock may be set.
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds(left_us));
    (void)clock.wait(std::min(left, kLongestWait));
  }
}

void Exporter::run_scheduled() {
  while (!must_end()) {
    const core::Timestamp started = system_now();
    const bool is_settled = cycle_and_log();
    wait_for_next(started, is_settled);
  }
}

Account Exporter::run_once() {
  const auto deadline = std::chrono::steady_clock::now() + settings_.lock_wait;
  while (!hold_lock()) {
    probe_.waiting_for_other_exporter();
    if (std::chrono::steady_clock::now() >= deadline || stop_.wait_for(kLockPoll)) {
      throw std::runtime_error(
          "another tally-exporter works on this database: stop it, or let it do the export");
    }
  }
  Account account;
  for (int round = 0; round < kMaxRounds && !must_end(); ++round) {
    // Only the first round overrides the wait after a rejection, or a wrong mapping would loop.
    const Cycle cycle = run_one_cycle(round == 0 ? AfterRejection::kTryNow : AfterRejection::kWait);
    account.rows_planned += cycle.plan.rows.size();
    account.read_back.add(cycle.read_back);
    account.sent.add(cycle.sent);
    account.held = cycle.plan.held;
    account.waiting = cycle.plan.waiting;
    account.not_exported = cycle.plan.not_exported;
    account.stopped_because = cycle.sent.stopped_because;
    const bool moved = cycle.sent.delivered + cycle.sent.rejected > 0;
    if (!cycle.plan.more_follows || !moved || !cycle.sent.stopped_because.empty()) break;
  }
  if (must_end() && account.stopped_because.empty()) {
    account.stopped_because =
        stop_.requested() ? "a signal asked for it" : "the time that --until names has come";
  }
  account.standing = store_->standing();
  probe_.cycle_succeeded(system_now(), account.standing);
  return account;
}

}  // namespace tally::exporter
