// Runs one variant of a case on the simulated log, group and store (tests/simulation), with the
// real aggregator in between.
#pragma once

#include "aggregator/probe.h"
#include "tests/golden/variant.h"
#include "tests/simulation/instance.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_database.h"
#include "tests/simulation/sim_group.h"
#include "tests/simulation/sim_line.h"
#include "tests/simulation/sim_log.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tally::golden {

// Threads: one. One run per stage.
class Stage {
 public:
  Stage(const GoldenCase& golden, const Variant& variant, aggregator::Probe& probe, bool tracing);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // "", or the sentence of what went wrong but the books: it never came to rest, an offset is not
  // accounted for, nothing died where something should have.
  [[nodiscard]] std::string run();
  [[nodiscard]] const simulation::Tables& tables() const { return database_.tables(); }

 private:
  void make_instances();
  void send();  // a fiber
  void append(const Arranged& one);
  void end_transactions(std::int32_t partition);
  void on_step(aggregator::StoreStep step);
  void on_mirrored();
  void strike();
  [[nodiscard]] bool all_counted() const;
  bool run_until(const std::function<bool()>& done, std::int64_t most_us, std::int64_t most_steps);
  [[nodiscard]] std::string check_offsets() const;
  [[nodiscard]] std::string check_handoffs() const;

  const GoldenCase& golden_;
  const Variant& variant_;
  aggregator::Probe& probe_;
  std::vector<Arranged> stream_;
  simulation::Scheduler scheduler_;
  simulation::SimLog log_;
  simulation::SimDatabase database_;
  simulation::Lingering lingering_;
  simulation::Plant plant_;
  simulation::SimGroup group_;
  std::vector<std::unique_ptr<simulation::Instance>> instances_;
  std::shared_ptr<simulation::Process> nature_ = std::make_shared<simulation::Process>();
  std::map<std::int32_t, simulation::EntryKind> open_;  // how a partition's transaction will end
  std::size_t sent_ = 0;
  int deaths_ = 0;
  int seen_in_this_life_ = 0;  // of the moments at which it may die
};

}  // namespace tally::golden
