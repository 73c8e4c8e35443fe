// A batch folded into a plan, as a session does it.
#pragma once

#include "aggregator/decode.h"
#include "aggregator/fold.h"
#include "tests/bench/stages/material.h"

#include <memory>

namespace tally::bench {

[[nodiscard]] std::unique_ptr<aggregator::PartitionState> new_partition();

// The timed part of the path: bytes to plan.
inline void fold_into(aggregator::BatchPlan& plan, Records records, aggregator::Fold& fold,
                      aggregator::PartitionState& state) {
  fold.add(records, state, plan);
}

// Two commits: of few rows that many events share, and of more than a row for two events.
struct PlanShape {
  const char* name;
  Workload workload;
};
inline constexpr PlanShape kFewRows = {"1k_windows", {333, 0, 330'000}};
inline constexpr PlanShape kManyRows = {"200k_windows", {10'000, 1, 330'000}};
// Made on first use, then shared.
[[nodiscard]] const Material& material_of(const PlanShape& shape);

}  // namespace tally::bench
