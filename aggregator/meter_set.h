// The catalogue compiled for the hot path: for each event type, which members of `data` to pick up
// in one pass, and what each meter makes of them. Immutable after construction; shared by threads.
#pragma once

#include "aggregator/name_head.h"
#include "core/ids.h"
#include "core/meter.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// A place in an event's extracted values.
using SlotIndex = std::uint16_t;
inline constexpr SlotIndex kNoSlot = 0xffff;

// One member of a JSON object that matters: its value fills a slot, or it is an object to look
// into.
struct PathNode {
  std::string key;
  NameHead head = 0;  // the key's
  SlotIndex slot = kNoSlot;
  std::vector<PathNode> children;
};

struct CompiledFilter {
  SlotIndex slot = kNoSlot;
  core::FilterKind kind = core::FilterKind::kIn;
  std::vector<core::Scalar> values;
};

struct CompiledMeter {
  std::uint16_t index = 0;            // into MeterSet::meters()
  SlotIndex value = kNoSlot;          // kNoSlot for count
  std::vector<SlotIndex> dimensions;  // in the order of meter.group_by
  std::vector<CompiledFilter> where;
};

struct TypePlan {
  std::vector<PathNode> roots;  // the members of `data` to pick up
  SlotIndex slots = 0;
  std::vector<CompiledMeter> meters;
};

class MeterSet {
 public:
  // `definition_version`: the newest version at which a meter was added; its low bits mark dedup
  // entries.
  MeterSet(std::vector<core::Meter> meters, core::CatalogueVersion version,
           core::CatalogueVersion definition_version);

  [[nodiscard]] const TypePlan* find(
      std::string_view event_type) const;  // nullptr: no meter reads it
  [[nodiscard]] const std::vector<core::Meter>& meters() const { return meters_; }
  [[nodiscard]] core::CatalogueVersion version() const { return version_; }
  [[nodiscard]] core::CatalogueVersion definition_version() const { return definition_version_; }

 private:
  std::vector<core::Meter> meters_;
  core::CatalogueVersion version_;
  core::CatalogueVersion definition_version_;
  // Of both ends: types that differ in the middle alone are rare, and compared.
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const;
  };
  boost::unordered_flat_map<std::string, TypePlan, TextHash, std::equal_to<>> types_;
};

}  // namespace tally::aggregator
