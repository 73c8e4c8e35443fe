// What a schedule is made of, all of it drawn from its seed: a small topology, a workload, and
// which faults strike how often.
#pragma once

#include "tests/simulation/dice.h"
#include "tests/simulation/sim_group.h"
#include "tests/simulation/sim_line.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally::simulation {

enum class Fault : std::uint8_t {
  kKill,
  kFreeze,
  kKick,
  kStopOrderly,
  kOutage,
  kGrow,
  kRefreshMetadata,
  kRetention,
  kCatalogueChange,
  kBackup,
  kRestore,
  kClockStepBack,
  kDamageCache,
  kFaultCount
};

struct Scenario {
  std::string name;
  std::int32_t partitions = 1;
  std::vector<std::int32_t> growth;  // to so many partitions, one after the other
  std::size_t instances = 1;
  std::size_t workers = 1;  // of an instance
  bool static_members = false;
  std::size_t records = 100;
  std::int64_t horizon_days = 1;
  std::size_t beginning = 0;            // into kFirstLogSeconds
  std::int64_t log_span_ms = 0;         // of the whole stream, by the log's clock
  std::int64_t append_gap_us = 10'000;  // between two appends, on average
  std::int64_t commit_interval_ms = 50;
  std::int64_t fault_gap_us = 0;                       // between two faults, on average; 0: none
  std::vector<std::pair<Fault, std::int64_t>> faults;  // with weights
  std::int64_t wrong_partitioner_per_mille = 0;
  std::int64_t transactional_per_mille = 0;
  std::int64_t roll_up_per_mille = 100;
  // By the log's clock, that the newest record may be ahead of what is unread.
  std::int64_t most_lag_ms = 12 * 3'600'000;
  bool local_runs = false;  // dedup memory spills to the local disk
  StoreRules store;
  GroupRules group;
};

// Half of all seeds mix everything; the others are one of the presets, which bring rare things
// together.
[[nodiscard]] Scenario scenario_of(std::uint64_t seed);

}  // namespace tally::simulation
