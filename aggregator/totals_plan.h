// What one commit adds to the totals, as data: a part of the plan of a batch.
#pragma once

#include "aggregator/plan_texts.h"
#include "aggregator/row_table.h"
#include "aggregator/tenant_book.h"
#include "core/check.h"
#include "core/extreme_reading.h"
#include "core/gauge_reading.h"
#include "core/unique_value.h"
#include "core/usage_delta.h"
#include "core/window.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

namespace tally::aggregator {

inline constexpr std::string_view kNoDimensions = "{}";

struct WindowKeyView {
  std::string_view tenant;
  std::uint16_t meter = 0;  // into MeterSet::meters(), which is sorted by slug
  std::int64_t start_seconds = 0;
  std::int64_t end_seconds = 0;  // follows from the start under one catalogue
  std::string_view dimensions;   // canonical JSON
  friend bool operator==(const WindowKeyView&, const WindowKeyView&) = default;
};

// The same within a plan, whose texts hold its tenant and dimensions: it lives no longer than they.
// Equal texts of a plan are one, so keys of one plan are compared by address.
struct WindowKey {
  const PlanText* tenant_text = nullptr;
  const PlanText* dimensions_text = nullptr;
  std::int64_t start_seconds = 0;
  std::uint32_t length_seconds = 0;
  std::uint16_t meter = 0;

  WindowKey() = default;
  WindowKey(const PlanText& tenant, const PlanText& dimensions, const core::Window& window,
            std::uint16_t meter_index)
      : tenant_text(&tenant),
        dimensions_text(&dimensions),
        start_seconds(window.start.seconds()),
        meter(meter_index) {
    const std::int64_t length = window.end.seconds() - start_seconds;
    TALLY_CHECK(length >= 0 && length <= std::numeric_limits<std::uint32_t>::max(),
                "a window of {} s", length);
    length_seconds = static_cast<std::uint32_t>(length);
  }
  [[nodiscard]] std::string_view tenant() const { return tenant_text->view(); }
  [[nodiscard]] std::string_view dimensions() const { return dimensions_text->view(); }
  [[nodiscard]] std::int64_t end_seconds() const { return start_seconds + length_seconds; }
  [[nodiscard]] WindowKeyView view() const {
    return {tenant(), meter, start_seconds, end_seconds(), dimensions()};
  }
  friend bool operator==(const WindowKey&, const WindowKey&) = default;
};

// The finalizer of murmur3: every bit of the input moves every bit of the output.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t bits) {
  bits = (bits ^ bits >> 33U) * 0xff51afd7ed558ccdULL;
  bits = (bits ^ bits >> 33U) * 0xc4ceb9fe1a85ec53ULL;
  return bits ^ bits >> 33U;
}

[[nodiscard]] inline std::uint64_t hash_of(const WindowKey& key) {
  const std::uint64_t place =
      static_cast<std::uint64_t>(key.start_seconds) << 16U | std::uint64_t{key.meter};
  const std::uint64_t texts =
      std::uint64_t{key.tenant_text->number()} << 32U | key.dimensions_text->number();
  return mixed(mixed(texts) ^ place);
}

// A counter's row is one line of the cache.
template <class Value>
inline constexpr std::size_t kRowAlign =
    sizeof(WindowKey) + sizeof(Value) <= kCacheLineBytes ? kCacheLineBytes : alignof(Value);

template <class Value>
struct alignas(kRowAlign<Value>) WindowRow {
  WindowKey first;
  Value second;
};
static_assert(sizeof(WindowRow<core::UsageDelta>) == kCacheLineBytes);

// Windows by their keys, which are of one plan, in the order in which they were first met.
template <class Value>
class WindowMap {
 public:
  using Row = WindowRow<Value>;

  Value& at(const WindowKey& key, std::uint64_t hash) {
    return rows_
        .at(
            hash, [&](const Row& row) { return row.first == key; },
            [&] { return Row{key, Value{}}; })
        .second;
  }
  Value& operator[](const WindowKey& key) { return at(key, hash_of(key)); }
  void prefetch(std::uint64_t hash) const { rows_.prefetch(hash); }
  void prefetch_row(std::uint64_t hash) const { rows_.prefetch_row(hash); }
  void reserve(std::size_t windows) { rows_.reserve(windows); }

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
  // Of the windows' keys. A copy of the plan shares them.
  std::shared_ptr<PlanTexts> texts = std::make_shared<PlanTexts>();
  WindowMap<core::UsageDelta> usage;     // sum, count
  WindowMap<core::GaugeReading> gauges;  // latest
  WindowMap<core::MaxReading> maxima;
  WindowMap<core::MinReading> minima;
  WindowMap<UniqueSet> uniques;
  std::size_t unique_values = 0;  // in all of `uniques`; of joined plans no more than this

  // A key of this plan. Makes no window.
  [[nodiscard]] WindowKey key(const WindowKeyView& view) const;
  [[nodiscard]] std::size_t windows() const {
    return usage.size() + gauges.size() + maxima.size() + minima.size() + uniques.size();
  }
  // What a commit has to write of them, but for days, months and billing periods.
  [[nodiscard]] std::size_t rows() const { return windows() + unique_values; }
};

}  // namespace tally::aggregator
