// What one commit adds to the totals, as data: a part of the plan of a batch.
#pragma once

#include "core/gauge_reading.h"
#include "core/usage_delta.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tally::aggregator {

struct WindowKeyView {
  std::string_view tenant;
  std::uint16_t meter = 0;  // into MeterSet::meters(), which is sorted by slug
  std::int64_t start_seconds = 0;
  std::string_view dimensions;  // canonical JSON
  friend auto operator<=>(const WindowKeyView&, const WindowKeyView&) = default;
};

struct WindowKey {
  std::string tenant;
  std::uint16_t meter = 0;
  std::int64_t start_seconds = 0;
  std::string dimensions;
  explicit WindowKey(const WindowKeyView& view)
      : tenant(view.tenant),
        meter(view.meter),
        start_seconds(view.start_seconds),
        dimensions(view.dimensions) {}
  [[nodiscard]] WindowKeyView view() const { return {tenant, meter, start_seconds, dimensions}; }
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

struct TotalsPlan {
  WindowMap<core::UsageDelta> usage;
  WindowMap<core::GaugeReading> gauges;

  [[nodiscard]] std::size_t windows() const { return usage.size() + gauges.size(); }
};

}  // namespace tally::aggregator
