// One schedule from its seed to its verdict.
#pragma once

#include "aggregator/probe.h"
#include "tests/simulation/auditor.h"
#include "tests/simulation/instance.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/tenants.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::simulation {

// How much further ahead of what is unread one step of the log's clock may go.
inline constexpr std::int64_t kMostStepMs = 12 * 3'600'000;

struct Verdict {
  std::string broken;  // empty: every promise held
  std::uint64_t digest = 0;
  Coverage coverage;
};

// What a process shares over all its schedules, because it is slow to make.
struct Workshop {
  std::vector<std::shared_ptr<const aggregator::MeterSet>> catalogues;
  std::vector<Tenants> tenants;  // beside kFirstLogSeconds
  aggregator::Probe& probe;
  std::filesystem::path scratch;  // a folder of its own, for local runs
};

class World {
 public:
  World(std::uint64_t seed, const Workshop& workshop, bool tracing);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Verdict run();

 private:
  void make_instances(const Workshop& workshop);
  void produce();       // a fiber
  void break_things();  // a fiber
  void append_one();
  [[nodiscard]] bool readers_lag() const;
  [[nodiscard]] std::int32_t partition_for(const Message& message);
  void strike(Fault fault);
  void freeze_one(Instance& instance);
  void outage();
  void grow();
  void refresh_metadata();
  void retain();
  void backup();
  void restore();
  void damage_cache(Instance& instance);
  void end_transactions();
  void heal();
  void housekeeping();
  // Runs until `done` or the limits; false: a promise broke, or it never came.
  bool run_until(const std::function<bool()>& done, std::int64_t most_us, std::int64_t most_steps);
  [[nodiscard]] Instance& any_instance();
  [[nodiscard]] bool settled() const;
  void count_classes();

  Scenario scenario_;
  Scheduler scheduler_;
  SimLog log_;
  SimDatabase database_;
  Lingering lingering_;
  Plant plant_;
  SimGroup group_;
  Workload workload_;
  Auditor auditor_;
  std::filesystem::path scratch_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::shared_ptr<Process> nature_ = std::make_shared<Process>();
  std::int64_t log_clock_ms_ = 0;
  std::int32_t producers_know_ = 0;  // partitions, by the metadata of a lagging producer
  std::size_t appended_ = 0;
  bool calm_ = false;  // no more faults
  struct Backup {
    Tables tables;
    Auditor auditor;
  };
  std::optional<Backup> backup_;
};

}  // namespace tally::simulation
