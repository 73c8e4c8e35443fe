// What one commit adds to the totals, as data: a part of the plan of a batch.
#pragma once

#include "aggregator/tenant_book.h"
#include "core/extreme_reading.h"
#include "core/gauge_reading.h"
#include "core/unique_value.h"
#include "core/usage_delta.h"

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tally::aggregator {

struct WindowKeyView {
  std::string_view tenant;
  std::uint16_t meter = 0;  // into MeterSet::meters(), which is sorted by slug
  std::int64_t start_seconds = 0;
  std::int64_t end_seconds = 0;  // follows from the start under one catalogue
  std::string_view dimensions;   // canonical JSON
  friend auto operator<=>(const WindowKeyView&, const WindowKeyView&) = default;
};

struct WindowKey {
  std::string tenant;
  std::uint16_t meter = 0;
  std::int64_t start_seconds = 0;
  std::int64_t end_seconds = 0;
  std::string dimensions;
  explicit WindowKey(const WindowKeyView& view)
      : tenant(view.tenant),
        meter(view.meter),
        start_seconds(view.start_seconds),
        end_seconds(view.end_seconds),
        dimensions(view.dimensions) {}
  [[nodiscard]] WindowKeyView view() const {
    return {tenant, meter, start_seconds, end_seconds, dimensions};
  }
};

struct WindowKeyHash {
  using is_transparent = void;
  std::size_t operator()(const WindowKeyView& key) const;
  std::size_t operator()(const WindowKey& key) const { return (*this)(key.view()); }
};
struct WindowKeyEqual {
  using is_transparent = void;
  bool operator()(const WindowKey& a, const WindowKey& b) const { return a.view() == b.view(); }
  bool operator()(const WindowKey& a, const WindowKeyView& b) const { return a.view() == b; }
  bool operator()(const WindowKeyView& a, const WindowKey& b) const { return a == b.view(); }
};
template <class Value>
using WindowMap = boost::unordered_flat_map<WindowKey, Value, WindowKeyHash, WindowKeyEqual>;

// The different values of a window, a day, a month or a period.
struct UniqueSet {
  struct Hash {
    std::size_t operator()(const core::UniqueValue& value) const { return value.lo; }
  };
  boost::unordered_flat_set<core::UniqueValue, Hash> values;
  std::int64_t events = 0;

  void merge(const UniqueSet& other) {
    values.insert(other.values.begin(), other.values.end());
    events += other.events;
  }
};

struct TotalsPlan {
  std::shared_ptr<const TenantBook> tenants;  // whose calendars cut the windows
  WindowMap<core::UsageDelta> usage;          // sum, count
  WindowMap<core::GaugeReading> gauges;       // latest
  WindowMap<core::MaxReading> maxima;
  WindowMap<core::MinReading> minima;
  WindowMap<UniqueSet> uniques;

  [[nodiscard]] std::size_t windows() const {
    return usage.size() + gauges.size() + maxima.size() + minima.size() + uniques.size();
  }
};

}  // namespace tally::aggregator
