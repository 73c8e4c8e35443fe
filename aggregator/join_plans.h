// Plans of several workers as one plan, so that one transaction commits them all: what they add to
// the same rows is added up here, and written once. Pure.
#pragma once

#include "aggregator/batch_plan.h"

#include <cstddef>
#include <span>

namespace tally::aggregator {

// How many of them, from the first on, one transaction may commit: folded under one catalogue and
// one number of partitions, none of them in two plans (a lost one's last plan may wait beside the
// next owner's first), and within core::kMax…PerTransaction together. At least one.
[[nodiscard]] std::size_t fit_together(std::span<const BatchPlan* const> plans);

// Of plans that fit together, as CHECKed. Its commit holds or falls
// with the guard of every partition; afterwards the stored state is that of committing each plan by
// itself.
[[nodiscard]] BatchPlan joined(std::span<const BatchPlan* const> plans);

}  // namespace tally::aggregator
