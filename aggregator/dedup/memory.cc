#include "aggregator/dedup/memory.h"

#include "aggregator/dedup/hot_table.h"
#include "core/check.h"

namespace tally::aggregator::dedup {
namespace {

Seen compare(const OrderedEntry& found, const OrderedEntry& probed) {
  const core::DedupEntry first = found.to_entry();
  const core::DedupEntry second = probed.to_entry();
  TALLY_CHECK(first.same_identity(second));
  if (first.generation() != second.generation()) return Seen::kOtherGeneration;
  return first.content() == second.content() ? Seen::kSameContent : Seen::kOtherContent;
}

}  // namespace

struct Memory::Parts {
  explicit Parts(const MemorySettings& memory_settings)
      : settings(memory_settings), hot(memory_settings.horizon_days) {}

  MemorySettings settings;
  HotTable hot;
};

Memory::Memory(const MemorySettings& settings) : parts_(std::make_unique<Parts>(settings)) {}

Memory::Memory(LogDay horizon_days) : Memory(MemorySettings{horizon_days, {}, 0, 0, 0}) {}

Memory::~Memory() = default;

Seen Memory::probe(const core::DedupEntry& entry, LogDay today) const {
  const OrderedEntry wanted(entry);
  const auto found = parts_->hot.find(wanted);
  if (!found || is_expired(found->day, today, parts_->settings.horizon_days)) return Seen::kNever;
  return compare(found->entry, wanted);
}

void Memory::insert(const core::DedupEntry& entry, LogDay day) {
  parts_->hot.insert(OrderedEntry(entry), day);
}

void Memory::restore(const core::DedupEntry& entry, LogDay day) {
  parts_->hot.restore(OrderedEntry(entry), day);
}

void Memory::advance(LogDay today) { parts_->hot.advance(today); }
void Memory::reserve(std::size_t more) { parts_->hot.reserve(more); }

// Nothing lies on disk yet: no segment is covered, and every spill is refused.
void Memory::adopt(LogDay, const std::function<bool(const SegmentToken&)>&) {}
bool Memory::covers(const SegmentToken&) const { return false; }
void Memory::committed(LogDay, const SegmentToken&) {}
bool Memory::spill(std::span<const core::DedupEntry>) { return false; }
void Memory::discard(const MemorySettings&) {}

std::size_t Memory::size() const { return parts_->hot.size(); }
std::size_t Memory::hot_bytes() const { return parts_->hot.bytes(); }
std::size_t Memory::bytes() const { return hot_bytes(); }
std::size_t Memory::disk_bytes() const { return 0; }

}  // namespace tally::aggregator::dedup
