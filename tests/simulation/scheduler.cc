#include "tests/simulation/scheduler.h"

#include "core/check.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>

namespace tally::simulation {

Scheduler::~Scheduler() { crash_all(); }

Fiber& Scheduler::spawn(std::shared_ptr<Process> process, std::function<void()> body) {
  fibers_.push_back(std::make_unique<Fiber>(std::move(process), std::move(body)));
  return *fibers_.back();
}

bool Scheduler::can_run(const Fiber& fiber) const {
  if (fiber.done() || fiber.process().stopped_until_us > now_us_) return false;
  return fiber.wake_us <= now_us_ || (fiber.ready && fiber.ready());
}

bool Scheduler::run_one() {
  runnable_.clear();
  for (const auto& fiber : fibers_) {
    if (can_run(*fiber)) runnable_.push_back(fiber.get());
  }
  if (runnable_.empty()) return false;
  const std::size_t pick = dice_.below(runnable_.size());
  mix(pick << 32U | static_cast<std::uint64_t>(now_us_));
  ++steps_;
  now_us_ += static_cast<std::int64_t>(dice_.below(200));
  current_ = runnable_[pick];
  current_->resume();
  current_ = nullptr;
  return true;
}

void Scheduler::next_wake() {
  std::int64_t soonest = std::numeric_limits<std::int64_t>::max();
  for (const auto& fiber : fibers_) {
    if (fiber->done()) continue;
    soonest = std::min(soonest, std::max(fiber->wake_us, fiber->process().stopped_until_us));
    if (fiber->process().stopped_until_us > now_us_)
      soonest = std::min(soonest, fiber->process().stopped_until_us);
  }
  if (soonest != std::numeric_limits<std::int64_t>::max()) now_us_ = std::max(now_us_, soonest);
}

void Scheduler::reap() {
  for (int round = 0;; ++round) {
    bool left = false;
    for (std::size_t i = 0; i < fibers_.size(); ++i) {  // a dying fiber spawns nothing
      Fiber& fiber = *fibers_[i];
      if (fiber.done() || !fiber.process().crashed) continue;
      current_ = &fiber;
      fiber.resume();
      current_ = nullptr;
      left = left || !fiber.done();
    }
    if (!left) break;
    TALLY_CHECK(round < 1000, "a crashed process does not end");
  }
  const auto ended = [](const auto& fiber) { return fiber->done(); };
  if (std::any_of(fibers_.begin(), fibers_.end(), ended)) std::erase_if(fibers_, ended);
}

void Scheduler::crash_all() {
  for (const auto& fiber : fibers_) fiber->process().crashed = true;
  reap();
}

void Scheduler::give_way() {
  current_->give_way();
  if (current_->process().crashed && std::uncaught_exceptions() == 0) throw Crashed();
}

void Scheduler::point() {
  if (current_ == nullptr) return;
  current_->wake_us = 0;
  current_->ready = nullptr;
  give_way();
}

void Scheduler::wait_until(std::int64_t time_us, std::function<bool()> ready) {
  TALLY_CHECK(current_ != nullptr);
  current_->wake_us = time_us;
  current_->ready = std::move(ready);
  give_way();
}

void Scheduler::wait_quietly(const std::function<bool()>& ready) noexcept {
  while (!ready()) {
    current_->wake_us = std::numeric_limits<std::int64_t>::max();
    current_->ready = ready;
    current_->give_way();
  }
}

std::string Scheduler::describe() const {
  std::string text = fmt::format("at {} us:", now_us_);
  for (const auto& fiber : fibers_) {
    const Process& process = fiber->process();
    text += fmt::format(" [wakes at {}{}{}{}]", fiber->wake_us,
                        fiber->ready ? " or when ready" : "", process.crashed ? ", crashed" : "",
                        process.stopped_until_us > now_us_ ? ", stopped" : "");
  }
  return text;
}

void Scheduler::broken(std::string sentence) {
  if (verdict_.empty()) verdict_ = std::move(sentence);
}

void Scheduler::print(const std::string& line) const {
  fmt::print("{:>10.3f} ms  {}\n", static_cast<double>(now_us_) / 1000.0, line);
}

}  // namespace tally::simulation
