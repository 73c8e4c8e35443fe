// What one commit adds to the totals, as data: a part of the plan of a batch.
#pragma once

#include "aggregator/row_table.h"
#include "aggregator/tenant_book.h"
#include "core/extreme_reading.h"
#include "core/gauge_reading.h"
#include "core/unique_value.h"
#include "core/usage_delta.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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

// Of a tenant; and of a key, by one who knows its tenant's.
[[nodiscard]] std::uint64_t hash_of(std::string_view tenant);
[[nodiscard]] std::uint64_t hash_of(const WindowKeyView& key, std::uint64_t tenant_hash);

// Windows by their keys, in the order in which they were first met.
template <class Value>
class WindowMap {
 public:
  using Row = std::pair<WindowKey, Value>;

  Value& at(const WindowKeyView& key, std::uint64_t hash) {
    return rows_
        .at(
            hash, [&](const Row& row) { return row.first.view() == key; },
            [&] { return Row(WindowKey(key), Value{}); })
        .second;
  }
  Value& operator[](const WindowKeyView& key) { return at(key, hash_of(key, hash_of(key.tenant))); }
  Value& operator[](const WindowKey& key) { return (*this)[key.view()]; }
  void prefetch(std::uint64_t hash) const { rows_.prefetch(hash); }
  void prefetch_row(std::uint64_t hash) const { rows_.prefetch_row(hash); }

  [[nodiscard]] auto begin() const { return rows_.begin(); }
  [[nodiscard]] auto end() const { return rows_.end(); }
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }

 private:
  RowTable<Row> rows_;
};

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
