// The ways in which one case is run: how its stream is bent, over what it is spread and where the
// aggregator dies. The books must be the same in all of them. Pure.
#pragma once

#include "aggregator/store_step.h"
#include "tests/golden/case_file.h"
#include "tests/simulation/sim_line.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tally::golden {

struct Variant {
  std::string name;
  std::int32_t partitions = 4;
  std::size_t instances = 1;
  std::uint64_t seed = 1;
  bool duplicated = false;  // each record once more, later, before the next one of its identity
  bool shuffled = false;
  bool scattered = false;  // every record is put on another partition than its home
  std::optional<aggregator::StoreStep> killed_at;
  bool killed_after_mirror = false;
  simulation::StoreRules faults;
};

[[nodiscard]] const std::vector<Variant>& all_variants();

// A record's place in the stream as it is sent.
struct Arranged {
  const GoldenRecord* record = nullptr;
  std::int32_t partition = 0;
  // Everything of a batch is counted before the next one is sent. What the log's clock separates
  // by more than half a day is never in one batch: a partition that lags behind by days is out of
  // what the dedup memory promises.
  std::size_t batch = 0;
};

// Copies of one identity keep their order, and each record its log time.
[[nodiscard]] std::vector<Arranged> arrange(const GoldenCase& golden, const Variant& variant);

// The case's books; of a duplicated stream with the copies in their classes.
[[nodiscard]] Books books_of(const GoldenCase& golden, const Variant& variant);

}  // namespace tally::golden
