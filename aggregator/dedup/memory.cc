#include "aggregator/dedup/memory.h"

#include "core/check.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

namespace tally::aggregator::dedup {

namespace {

constexpr std::size_t kFirstCapacity = 1024;
constexpr LogDay kMaxHorizonDays = 250;

bool is_empty(const core::DedupEntry& entry) { return entry.hi == 0 && entry.lo == 0; }

// Identity bits only, so that all entries of one identity start at one slot. They are hash bits
// already.
std::size_t start_of(const core::DedupEntry& entry) {
  return static_cast<std::size_t>((entry.lo >> core::DedupEntry::kCheckBits) ^ (entry.hi << 17U));
}

}  // namespace

struct Memory::Parts {
  struct Table {
    std::vector<core::DedupEntry> entries;
    std::vector<std::uint8_t> days;  // day mod 256, read against newest_day_
  };

  [[nodiscard]] bool expired(std::uint8_t day_mark, LogDay today) const {
    const auto age = static_cast<std::uint8_t>(static_cast<std::uint8_t>(newest_day) - day_mark);
    return newest_day - age < today - settings.horizon_days;
  }

  [[nodiscard]] std::size_t find_slot(const core::DedupEntry& entry) const {
    std::size_t slot = start_of(entry) & mask;
    while (!is_empty(table.entries[slot]) && !table.entries[slot].same_identity(entry)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  [[nodiscard]] std::size_t slot_to_fill(const core::DedupEntry& entry, LogDay day) {
    TALLY_CHECK(!is_empty(entry));
    advance(day);
    TALLY_CHECK(newest_day - day <= settings.horizon_days, "a claim of day {} on day {}", day,
                newest_day);
    if (4 * (used + 1) > 3 * table.entries.size()) {
      rehash(std::max(kFirstCapacity, 2 * table.entries.size()), newest_day);
    }
    return find_slot(entry);
  }

  void fill(std::size_t slot, const core::DedupEntry& entry, LogDay day) {
    if (is_empty(table.entries[slot])) ++used;
    table.entries[slot] = entry;
    table.days[slot] = static_cast<std::uint8_t>(day);
  }

  void advance(LogDay today) {
    if (today <= newest_day) return;
    if (used != 0) rehash(table.entries.size(), today);
    newest_day = today;
  }

  void rehash(std::size_t capacity, LogDay today) {
    Table old = std::move(table);
    table.entries.assign(capacity, {});
    table.days.assign(capacity, 0);
    mask = capacity - 1;
    used = 0;
    for (std::size_t i = 0; i < old.entries.size(); ++i) {
      if (is_empty(old.entries[i]) || expired(old.days[i], today)) continue;
      const std::size_t slot = find_slot(old.entries[i]);
      table.entries[slot] = old.entries[i];
      table.days[slot] = old.days[i];
      ++used;
    }
  }

  MemorySettings settings;
  Table table;
  std::size_t mask = 0;
  std::size_t used = 0;
  LogDay newest_day = 0;  // all entries lie within the horizon before it
};

Memory::Memory(const MemorySettings& settings) : parts_(std::make_unique<Parts>()) {
  TALLY_CHECK(settings.horizon_days >= 1 && settings.horizon_days <= kMaxHorizonDays,
              "horizon of {} days", settings.horizon_days);
  parts_->settings = settings;
}

Memory::Memory(LogDay horizon_days) : Memory(MemorySettings{horizon_days, {}, 0, 0, 0}) {}

Memory::~Memory() = default;

Seen Memory::probe(const core::DedupEntry& entry, LogDay today) const {
  if (parts_->used == 0) return Seen::kNever;
  const std::size_t slot = parts_->find_slot(entry);
  const core::DedupEntry& found = parts_->table.entries[slot];
  if (is_empty(found) || parts_->expired(parts_->table.days[slot], today)) return Seen::kNever;
  if (found.generation() != entry.generation()) return Seen::kOtherGeneration;
  return found.content() == entry.content() ? Seen::kSameContent : Seen::kOtherContent;
}

void Memory::insert(const core::DedupEntry& entry, LogDay day) {
  const std::size_t slot = parts_->slot_to_fill(entry, day);
  TALLY_CHECK(is_empty(parts_->table.entries[slot]) ||
                  parts_->expired(parts_->table.days[slot], day),
              "an identity was claimed twice");
  parts_->fill(slot, entry, day);
}

void Memory::restore(const core::DedupEntry& entry, LogDay day) {
  parts_->fill(parts_->slot_to_fill(entry, day), entry, day);
}

void Memory::advance(LogDay today) { parts_->advance(today); }

void Memory::reserve(std::size_t more) {
  const std::size_t wanted = std::bit_ceil((parts_->used + more) * 4 / 3 + 1);
  if (wanted <= parts_->table.entries.size() || more == 0) return;
  parts_->rehash(std::max(kFirstCapacity, wanted), parts_->newest_day);
}

// Nothing lies on disk yet: no segment is covered, and every spill is refused.
void Memory::adopt(LogDay, const std::function<bool(const SegmentToken&)>&) {}
bool Memory::covers(const SegmentToken&) const { return false; }
void Memory::committed(LogDay, const SegmentToken&) {}
bool Memory::spill(std::span<const core::DedupEntry>) { return false; }
void Memory::discard(const MemorySettings&) {}

std::size_t Memory::size() const { return parts_->used; }

std::size_t Memory::hot_bytes() const {
  return parts_->table.entries.size() * (sizeof(core::DedupEntry) + sizeof(std::uint8_t));
}

std::size_t Memory::bytes() const { return hot_bytes(); }
std::size_t Memory::disk_bytes() const { return 0; }

}  // namespace tally::aggregator::dedup
