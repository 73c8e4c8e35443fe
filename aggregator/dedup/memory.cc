#include "aggregator/dedup/memory.h"

#include "core/check.h"

#include <algorithm>
#include <bit>
#include <utility>

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

Memory::Memory(LogDay horizon_days) : horizon_days_(horizon_days) {
  TALLY_CHECK(horizon_days >= 1 && horizon_days <= kMaxHorizonDays, "horizon of {} days",
              horizon_days);
}

bool Memory::expired(std::uint8_t day_mark, LogDay today) const {
  const auto age = static_cast<std::uint8_t>(static_cast<std::uint8_t>(newest_day_) - day_mark);
  return newest_day_ - age < today - horizon_days_;
}

std::size_t Memory::find_slot(const core::DedupEntry& entry) const {
  std::size_t slot = start_of(entry) & mask_;
  while (!is_empty(table_.entries[slot]) && !table_.entries[slot].same_identity(entry)) {
    slot = (slot + 1) & mask_;
  }
  return slot;
}

Seen Memory::probe(const core::DedupEntry& entry, LogDay today) const {
  if (used_ == 0) return Seen::kNever;
  const std::size_t slot = find_slot(entry);
  const core::DedupEntry& found = table_.entries[slot];
  if (is_empty(found) || expired(table_.days[slot], today)) return Seen::kNever;
  if (found.generation() != entry.generation()) return Seen::kOtherGeneration;
  return found.content() == entry.content() ? Seen::kSameContent : Seen::kOtherContent;
}

std::size_t Memory::slot_to_fill(const core::DedupEntry& entry, LogDay day) {
  TALLY_CHECK(!is_empty(entry));
  advance(day);
  TALLY_CHECK(newest_day_ - day <= horizon_days_, "a claim of day {} on day {}", day, newest_day_);
  if (4 * (used_ + 1) > 3 * table_.entries.size()) {
    rehash(std::max(kFirstCapacity, 2 * table_.entries.size()), newest_day_);
  }
  return find_slot(entry);
}

void Memory::fill(std::size_t slot, const core::DedupEntry& entry, LogDay day) {
  if (is_empty(table_.entries[slot])) ++used_;
  table_.entries[slot] = entry;
  table_.days[slot] = static_cast<std::uint8_t>(day);
}

void Memory::insert(const core::DedupEntry& entry, LogDay day) {
  const std::size_t slot = slot_to_fill(entry, day);
  TALLY_CHECK(is_empty(table_.entries[slot]) || expired(table_.days[slot], day),
              "an identity was claimed twice");
  fill(slot, entry, day);
}

void Memory::restore(const core::DedupEntry& entry, LogDay day) {
  fill(slot_to_fill(entry, day), entry, day);
}

void Memory::advance(LogDay today) {
  if (today <= newest_day_) return;
  if (used_ != 0) rehash(table_.entries.size(), today);
  newest_day_ = today;
}

void Memory::reserve(std::size_t more) {
  const std::size_t wanted = std::bit_ceil((used_ + more) * 4 / 3 + 1);
  if (wanted <= table_.entries.size() || more == 0) return;
  rehash(std::max(kFirstCapacity, wanted), newest_day_);
}

std::size_t Memory::bytes() const {
  return table_.entries.size() * (sizeof(core::DedupEntry) + sizeof(std::uint8_t));
}

void Memory::rehash(std::size_t capacity, LogDay today) {
  Table old = std::move(table_);
  table_.entries.assign(capacity, {});
  table_.days.assign(capacity, 0);
  mask_ = capacity - 1;
  used_ = 0;
  for (std::size_t i = 0; i < old.entries.size(); ++i) {
    if (is_empty(old.entries[i]) || expired(old.days[i], today)) continue;
    const std::size_t slot = find_slot(old.entries[i]);
    table_.entries[slot] = old.entries[i];
    table_.days[slot] = old.days[i];
    ++used_;
  }
}

}  // namespace tally::aggregator::dedup
