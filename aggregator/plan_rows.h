// A plan's windows in the order of the tables' primary keys, in which a commit writes them.
#pragma once

#include "aggregator/totals_plan.h"
#include "core/check.h"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tally::aggregator {

// How a plan's texts are ordered: by their bytes. Found once, so that windows are ordered by
// numbers alone.
class TextRanks {
 public:
  explicit TextRanks(const PlanTexts& texts);

  // Of a text of the same plan, as CHECKed.
  [[nodiscard]] std::uint32_t of(const PlanText& text) const {
    TALLY_CHECK(text.number() < texts_.size() && texts_[text.number()] == &text,
                "a window's text is another plan's");
    return ranks_[text.number()];
  }

 private:
  std::vector<const PlanText*> texts_;  // by number
  std::vector<std::uint32_t> ranks_;    // by number
};

template <class Value>
using WindowRows = std::vector<const WindowRow<Value>*>;

template <class Value>
[[nodiscard]] WindowRows<Value> sorted(const WindowMap<Value>& windows, const TextRanks& ranks) {
  struct Place {
    std::uint64_t tenant_and_meter = 0;
    std::int64_t start_seconds = 0;
    std::uint64_t dimensions_and_row = 0;  // 32 bits each
    auto operator<=>(const Place&) const = default;
  };
  std::vector<Place> places;
  places.reserve(windows.size());
  for (const auto& [key, value] : windows) {
    places.push_back({std::uint64_t{ranks.of(*key.tenant_text)} << 16U | key.meter,
                      key.start_seconds,
                      std::uint64_t{ranks.of(*key.dimensions_text)} << 32U | places.size()});
  }
  std::sort(places.begin(), places.end());
  WindowRows<Value> rows;
  rows.reserve(places.size());
  for (const Place& place : places)
    rows.push_back(&windows.begin()[static_cast<std::uint32_t>(place.dimensions_and_row)]);
  return rows;
}

// Lives no longer than the plan.
struct PlanRows {
  explicit PlanRows(const TotalsPlan& totals);

  const TotalsPlan& plan;
  TextRanks ranks;
  WindowRows<core::UsageDelta> usage;
  WindowRows<core::GaugeReading> gauges;
  WindowRows<core::MaxReading> maxima;
  WindowRows<core::MinReading> minima;
  WindowRows<UniqueSet> uniques;
};

}  // namespace tally::aggregator
