// One simulated aggregator: for each worker the real run_worker in a fiber, their real commit group
// in another, bound to the models of log, group, store and clock.
#pragma once

#include "aggregator/environment.h"
#include "aggregator/probe.h"
#include "aggregator/session.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_commit_group.h"
#include "tests/simulation/sim_group.h"
#include "tests/simulation/sim_line.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace tally::simulation {

class SimPace final : public aggregator::Pace {
 public:
  explicit SimPace(Scheduler& scheduler) : scheduler_(scheduler) {}
  [[nodiscard]] Clock::time_point now() const override {
    return Clock::time_point(std::chrono::microseconds(scheduler_.now_us()));
  }
  [[nodiscard]] bool stop_requested() const override { return stop; }
  void wait_for(std::chrono::milliseconds time) override {
    scheduler_.wait_until(scheduler_.now_us() + time.count() * 1000, [this] { return stop; });
  }
  bool stop = false;

 private:
  Scheduler& scheduler_;
};

struct InstanceSettings {
  std::string name;
  std::string static_id;  // empty: a dynamic member
  aggregator::SessionSettings session;
  std::size_t workers = 1;
  std::int64_t roll_up_per_mille = 0;  // after a commit, beside what the group does by itself
};

class Instance {
 public:
  Instance(InstanceSettings settings, Plant& plant, SimGroup& group, aggregator::Probe& probe);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void start();
  void stop() { pace_.stop = true; }   // as SIGTERM
  void kill();                         // as SIGKILL
  void freeze(std::int64_t until_us);  // as SIGSTOP, until then
  void thaw() {
    if (process_) process_->stopped_until_us = 0;
  }
  [[nodiscard]] bool running() const { return process_ && !finished_ && !process_->crashed; }
  [[nodiscard]] const InstanceSettings& settings() const { return settings_; }

  std::int32_t known_partitions = 0;  // its metadata

 private:
  struct Life;  // of one process
  [[nodiscard]] aggregator::Environment environment(std::size_t worker, SimCommitGroup& commits);
  void run_worker(std::size_t worker, Life& life);

  InstanceSettings settings_;
  Plant& plant_;
  SimGroup& group_;
  aggregator::Probe& probe_;
  SimPace pace_;
  std::shared_ptr<Process> process_;
  bool finished_ = true;
};

}  // namespace tally::simulation
