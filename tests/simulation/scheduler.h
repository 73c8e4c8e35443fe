// Who runs next, what time it is, and the story of the run. All chance of a schedule comes from its
// dice, so that one seed is one run, byte for byte.
#pragma once

#include "tests/simulation/coverage.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/fiber.h"

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation {

// The outcome of a run that broke a promise: the sentence says which.
class PromiseBroken {
 public:
  explicit PromiseBroken(std::string sentence) : sentence_(std::move(sentence)) {}
  [[nodiscard]] const std::string& sentence() const { return sentence_; }

 private:
  std::string sentence_;
};

class Scheduler {
 public:
  explicit Scheduler(std::uint64_t seed) : dice_(seed) {}
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // From outside the fibers.
  Fiber& spawn(std::shared_ptr<Process> process, std::function<void()> body);
  bool run_one();    // false: nobody can run at this time
  void next_wake();  // moves the clock to the moment when somebody can
  void reap();       // ends the fibers of crashed processes, forgets those that ended
  // After a run was given up: crashes every process that still has a fiber.
  void crash_all();

  // From inside a fiber. They throw Crashed when the process was killed meanwhile; not while it is
  // unwinding.
  void point();  // somebody else may run
  void wait_until(std::int64_t time_us, std::function<bool()> ready);
  // For destructors: returns when `ready` holds, crashed or not.
  void wait_quietly(const std::function<bool()>& ready) noexcept;
  [[nodiscard]] bool in_fiber() const { return current_ != nullptr; }
  [[nodiscard]] bool current_crashed() const { return current_ && current_->process().crashed; }
  [[nodiscard]] Process& current_process() const { return current_->process(); }
  [[nodiscard]] std::shared_ptr<Process> current_process_shared() const {
    return current_->shared_process();
  }

  [[nodiscard]] Dice& dice() { return dice_; }
  [[nodiscard]] Coverage& coverage() { return coverage_; }
  [[nodiscard]] std::int64_t now_us() const { return now_us_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }

  // Who waits for what, for a run that does not come to rest.
  [[nodiscard]] std::string describe() const;
  // A promise was broken, be it found inside a fiber: the first sentence stands.
  void broken(std::string sentence);
  [[nodiscard]] const std::string& verdict() const { return verdict_; }

  // The digest of all that happened; two runs of one seed must end with the same.
  void mix(std::uint64_t value) { digest_ = (digest_ ^ value) * 0x100000001b3ULL; }
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  bool tracing = false;
  template <class... Values>
  void note(fmt::format_string<Values...> text, Values&&... values) {
    if (tracing) print(fmt::format(text, std::forward<Values>(values)...));
  }

 private:
  void print(const std::string& line) const;
  [[nodiscard]] bool can_run(const Fiber& fiber) const;
  void give_way();

  Dice dice_;
  Coverage coverage_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> runnable_;  // used again by run_one
  Fiber* current_ = nullptr;
  std::int64_t now_us_ = 1'000'000;
  std::int64_t steps_ = 0;
  std::uint64_t digest_ = 0xcbf29ce484222325ULL;
  std::string verdict_;
};

}  // namespace tally::simulation
