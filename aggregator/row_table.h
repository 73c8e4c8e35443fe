// A hash table whose rows lie one after the other in the order of their birth, and whose index is
// looked at by hash alone: a caller that knows the hash some time before it needs the row can have
// both fetched meanwhile, and nothing is made of a key that is there already. Rows are never
// removed.
//
// Threads: one at a time. A row moves when another is born: hold none across at().
#pragma once

#include "aggregator/dedup/fetch_ahead.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tally::aggregator {

inline constexpr std::size_t kCacheLineBytes = 64;

template <class Row>
class RowTable {
 public:
  // The row that `same` says yes to, among those of this hash; nullptr: there is none.
  template <class Same>
  [[nodiscard]] Row* find(std::uint64_t hash, const Same& same) {
    if (rows_.empty()) return nullptr;
    Slot* const slot = slot_of(hash, same);
    return slot->row == kFree ? nullptr : &rows_[slot->row];
  }

  // The same, born by `make` when it is not there.
  template <class Same, class Make>
  Row& at(std::uint64_t hash, const Same& same, const Make& make) {
    if ((rows_.size() + 1) * 2 > slots_.size())
      grow_to(slots_.empty() ? kFirstSlots : 2 * slots_.size());
    Slot* const slot = slot_of(hash, same);
    if (slot->row == kFree) {
      *slot = {tag_of(hash), static_cast<std::uint32_t>(rows_.size())};
      rows_.push_back(make());
      hashes_.push_back(hash);
    }
    return rows_[slot->row];
  }

  // Room for so many rows in all, so that none of them moves for those that follow.
  void reserve(std::size_t rows) {
    rows_.reserve(rows);
    hashes_.reserve(rows);
    std::size_t slots = std::max(slots_.size(), kFirstSlots);
    while (slots < (rows + 1) * 2) slots *= 2;
    if (slots > slots_.size()) grow_to(slots);
  }
  // As new, but for the memory, which stays.
  void clear() {
    rows_.clear();
    hashes_.clear();
    std::fill(slots_.begin(), slots_.end(), Slot{});
  }

  // First the one, a little later the other, then at().
  void prefetch(std::uint64_t hash) const {
    if (!slots_.empty()) dedup::fetch_ahead(&slots_[place_of(hash)]);
  }
  void prefetch_row(std::uint64_t hash) const {
    if (slots_.empty()) return;
    const Slot& slot = slots_[place_of(hash)];
    if (slot.row == kFree) return;
    const char* const row = reinterpret_cast<const char*>(&rows_[slot.row]);
    for (std::size_t at = 0; at < sizeof(Row); at += kCacheLineBytes) dedup::fetch_ahead(row + at);
  }

  [[nodiscard]] auto begin() { return rows_.begin(); }
  [[nodiscard]] auto end() { return rows_.end(); }
  [[nodiscard]] auto begin() const { return rows_.begin(); }
  [[nodiscard]] auto end() const { return rows_.end(); }
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }

 private:
  static constexpr std::size_t kFirstSlots = 64;
  static constexpr std::uint32_t kFree = 0xffff'ffff;
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t row = kFree;
  };

  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32U);
  }
  [[nodiscard]] std::size_t place_of(std::uint64_t hash) const {
    return hash & (slots_.size() - 1);
  }

  // At most half of the slots are taken: there is always a free one.
  template <class Same>
  Slot* slot_of(std::uint64_t hash, const Same& same) {
    for (std::size_t place = place_of(hash);; place = (place + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[place];
      if (slot.row == kFree) return &slot;
      if (slot.tag == tag_of(hash) && same(rows_[slot.row])) return &slot;
    }
  }

  void grow_to(std::size_t slots) {
    slots_.assign(slots, Slot{});
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      std::size_t place = place_of(hashes_[row]);
      while (slots_[place].row != kFree) place = (place + 1) & (slots_.size() - 1);
      slots_[place] = {tag_of(hashes_[row]), static_cast<std::uint32_t>(row)};
    }
  }

  std::vector<Row> rows_;
  std::vector<std::uint64_t> hashes_;  // of the rows
  std::vector<Slot> slots_;            // as many as a power of two
};

}  // namespace tally::aggregator
