#include "aggregator/meter_set.h"

#include "core/check.h"

#include <algorithm>
#include <utility>

namespace tally::aggregator {

namespace {

SlotIndex slot_for(TypePlan& plan, const core::JsonPath& path) {
  TALLY_CHECK(!path.empty());
  std::vector<PathNode>* level = &plan.roots;
  PathNode* node = nullptr;
  for (const std::string& key : path) {
    auto found =
        std::find_if(level->begin(), level->end(), [&](const PathNode& n) { return n.key == key; });
    if (found == level->end()) {
      level->push_back({key, head_of(key), kNoSlot, {}});
      found = level->end() - 1;
    }
    node = &*found;
    level = &node->children;
  }
  if (node->slot == kNoSlot) node->slot = plan.slots++;
  return node->slot;
}

CompiledMeter compile(const core::Meter& meter, std::uint16_t index, TypePlan& plan) {
  CompiledMeter compiled;
  compiled.index = index;
  if (meter.aggregation != core::Aggregation::kCount) compiled.value = slot_for(plan, meter.value);
  for (const core::Dimension& dimension : meter.group_by) {
    compiled.dimensions.push_back(slot_for(plan, dimension.path));
  }
  for (const core::Filter& filter : meter.where) {
    compiled.where.push_back({slot_for(plan, filter.path), filter.kind, filter.values});
  }
  return compiled;
}

}  // namespace

MeterSet::MeterSet(std::vector<core::Meter> meters, core::CatalogueVersion version,
                   core::CatalogueVersion definition_version)
    : meters_(std::move(meters)), version_(version), definition_version_(definition_version) {
  std::sort(meters_.begin(), meters_.end(),
            [](const core::Meter& a, const core::Meter& b) { return a.slug < b.slug; });
  for (std::size_t i = 0; i < meters_.size(); ++i) {
    TypePlan& plan = types_[meters_[i].event_type];
    plan.meters.push_back(compile(meters_[i], static_cast<std::uint16_t>(i), plan));
  }
}

std::size_t MeterSet::TextHash::operator()(std::string_view text) const {
  const std::size_t head_bytes = std::min(text.size(), kNameHeadBytes);
  return text.size() + head_of(text) + 31 * head_of(text.substr(text.size() - head_bytes));
}

const TypePlan* MeterSet::find(std::string_view event_type) const {
  const auto found = types_.find(event_type);
  return found == types_.end() ? nullptr : &found->second;
}

}  // namespace tally::aggregator
