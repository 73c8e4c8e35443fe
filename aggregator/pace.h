// The seam to time and to the wish to stop: how a session waits. Implemented by StopPace over the
// process' clock and signals, and by the simulator over its own clock.
#pragma once

#include "runtime/lifecycle/lifecycle.h"

#include <chrono>

namespace tally::aggregator {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Pace() = default;

  [[nodiscard]] virtual Clock::time_point now() const = 0;
  [[nodiscard]] virtual bool stop_requested() const = 0;
  // Waits until the time is over or a stop is asked for.
  virtual void wait_for(std::chrono::milliseconds time) = 0;
};

class StopPace final : public Pace {
 public:
  explicit StopPace(const runtime::lifecycle::StopSignal& stop) : stop_(stop) {}
  [[nodiscard]] Clock::time_point now() const override { return Clock::now(); }
  [[nodiscard]] bool stop_requested() const override { return stop_.requested(); }
  void wait_for(std::chrono::milliseconds time) override { stop_.wait_for(time); }

 private:
  const runtime::lifecycle::StopSignal& stop_;
};

}  // namespace tally::aggregator
