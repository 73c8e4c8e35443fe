// SIGTERM and SIGINT drain, a second one ends at once (exit code 130). One per process, made first
// in main.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace tally::runtime::lifecycle {

class StopSignal {
 public:
  StopSignal();  // installs the handlers
  ~StopSignal();
  [[nodiscard]] bool requested() const;
  // Waits until a stop is asked for or the time is over; true when asked for.
  bool wait_for(std::chrono::milliseconds time) const;
  void request();  // as if a signal had come (tests, fatal errors)
};

}  // namespace tally::runtime::lifecycle
