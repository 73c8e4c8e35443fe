// Lets real blocking code run under a scheduler of ours: each simulated thread is a fiber of the
// one real thread. A fiber gives way in every call through a seam, and only there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tally::simulation {

// Thrown out of a seam in a process that was killed. Not a std::exception, so that no catch of the
// real code takes it for a failure it could mend.
struct Crashed {};

// A simulated process: its fibers die together and stop together.
struct Process {
  bool crashed = false;
  std::int64_t stopped_until_us = 0;  // SIGSTOP until then
};

class Fiber {
 public:
  Fiber(std::shared_ptr<Process> process, std::function<void()> body);
  ~Fiber();  // must have ended
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From the scheduler: runs it until it gives way or ends.
  void resume();
  // From inside: back to the scheduler.
  void give_way();

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] Process& process() const { return *process_; }
  [[nodiscard]] const std::shared_ptr<Process>& shared_process() const { return process_; }

  std::int64_t wake_us = 0;     // may be resumed from then on, or
  std::function<bool()> ready;  // as soon as this holds (may be empty)

 private:
  struct Context;
  std::shared_ptr<Process> process_;
  std::function<void()> body_;
  bool done_ = false;
  std::unique_ptr<Context> context_;
};

}  // namespace tally::simulation
