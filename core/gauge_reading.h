// What a gauge showed last: readings replace each other by time and never add up.
#pragma once

#include "core/decimal.h"
#include "core/identity.h"
#include "core/timestamp.h"

#include <cstdint>
#include <tuple>

namespace tally::core {

struct GaugeReading {
  Decimal reading;
  Timestamp read_at;
  DedupEntry
      tiebreak;  // of two readings at one moment the larger identity stands, whatever the order
  std::int64_t events = 0;

  // Merging is commutative and associative: the totals do not depend on the order of arrival.
  void merge(const GaugeReading& other) {
    if (std::tie(read_at, tiebreak) < std::tie(other.read_at, other.tiebreak)) {
      reading = other.reading;
      read_at = other.read_at;
      tiebreak = other.tiebreak;
    }
    events += other.events;
  }
};

}  // namespace tally::core
