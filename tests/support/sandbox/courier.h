// Carries deliveries to their endpoints over HTTP, on threads of its own.
#pragma once

#include "tests/support/sandbox/sandbox.h"

#include <chrono>
#include <memory>

namespace tally::sandbox {

// Sends what the sandbox says is due from the constructor to the destructor, which waits for what
// is on its way (up to `timeout`) and joins. A state file that takes no more ends it, any other
// failure the process. Deliveries of one endpoint may overtake each other
// when `threads` is above 1.
class Courier {
 public:
  Courier(Sandbox& sandbox, int threads, std::chrono::milliseconds timeout);
  ~Courier();
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;
  // Nothing is begun from now on; what is on its way ends. Any thread.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::sandbox
