// The largest or smallest reading of a window. Like gauges (core/gauge_reading.h) extremes replace
// each other and have no `+`.
#pragma once

#include "core/decimal.h"
#include "core/identity.h"
#include "core/timestamp.h"

#include <cstdint>
#include <tuple>

namespace tally::core {

enum class Extreme : std::uint8_t { kMax, kMin };

template <Extreme kExtreme>
struct ExtremeReading {
  Decimal reading;
  Timestamp read_at;
  DedupEntry tiebreak;  // of equal readings the latest stands, then the larger identity
  std::int64_t events = 0;

  // Commutative and associative: the totals do not depend on the order of arrival.
  void merge(const ExtremeReading& other) {
    if (events == 0 || (other.events != 0 && other.beats(*this))) {
      reading = other.reading;
      read_at = other.read_at;
      tiebreak = other.tiebreak;
    }
    events += other.events;
  }

 private:
  [[nodiscard]] bool beats(const ExtremeReading& other) const {
    if (reading != other.reading) return (reading > other.reading) == (kExtreme == Extreme::kMax);
    return std::tie(read_at, tiebreak) > std::tie(other.read_at, other.tiebreak);
  }
};

using MaxReading = ExtremeReading<Extreme::kMax>;
using MinReading = ExtremeReading<Extreme::kMin>;

}  // namespace tally::core
