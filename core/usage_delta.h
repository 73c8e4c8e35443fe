// What a counter gains: deltas add up, over events, time and dimensions. Gauges are another type
// (core/gauge_reading.h) and have no `+`, so the two can never be mixed.
#pragma once

#include "core/check.h"
#include "core/decimal.h"

#include <cstdint>

namespace tally::core {

struct UsageDelta {
  Decimal quantity;
  std::int64_t events = 0;

  // Values and counts are bounded by core/limits.h so that no sum within a commit leaves 38 digits.
  UsageDelta& operator+=(const UsageDelta& other) {
    const auto sum = quantity.checked_add(other.quantity);
    TALLY_CHECK(sum.has_value(), "a commit's sum left 38 digits: {} + {}", quantity.to_string(),
                other.quantity.to_string());
    quantity = *sum;
    events += other.events;
    return *this;
  }
};

}  // namespace tally::core
