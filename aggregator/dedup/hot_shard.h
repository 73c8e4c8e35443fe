// A slice of the hot table: open addressing that keeps its entries in order. An entry's home place
// grows with its key; it lies there or in the unbroken row of entries after it, and all entries
// ascend. So a search ends at the first greater entry, and growing, dropping and reading in order
// are single passes from front to back. 17 bytes a place: the entry and the mark of its day.
//
// Threads: none of its own. Lookup and insertion move through one short row: at the highest load a
// row is some dozen entries on average.
#pragma once

#include "aggregator/dedup/log_day.h"
#include "aggregator/dedup/ordered_entry.h"
#include "aggregator/dedup/page_block.h"

#include <cstddef>
#include <cstdint>

namespace tally::aggregator::dedup {

inline constexpr std::size_t kPlaceBytes = sizeof(OrderedEntry) + sizeof(DayMark);

class HotShard {
 public:
  // A place that holds the identity, or where it would be inserted.
  struct Place {
    std::size_t index = 0;
    bool found = false;
  };

  // `key_bits_shared`: all entries of this shard agree in so many leading bits of the key.
  // `stagger` of `kStaggers` moves the sizes at which it grows away from those of its sisters.
  static constexpr std::size_t kStaggers = 8;
  HotShard(unsigned key_bits_shared, std::size_t stagger)
      : shared_bits_(key_bits_shared), stagger_(stagger) {}

  [[nodiscard]] Place find(const OrderedEntry& entry) const;
  void prefetch(const OrderedEntry& entry) const;
  [[nodiscard]] OrderedEntry entry_at(std::size_t index) const;
  [[nodiscard]] DayMark day_at(std::size_t index) const { return days_[index]; }
  // Overwrites the content of an identity that was found.
  void replace(std::size_t index, const OrderedEntry& entry, DayMark day);
  // An identity that is not there, at the place that find() gave for it; may grow.
  void insert(Place place, const OrderedEntry& entry, DayMark day);
  // Makes room for `entries` in all.
  void reserve(std::size_t entries);

  // Removes every entry whose mark says so; gives memory back when little is left.
  template <class Expired>
  std::size_t remove_if(const Expired& expired) {
    std::size_t removed = 0;
    std::size_t next = 0;  // the first place that is free for what comes
    for (std::size_t from = 0; from < places_; ++from) {
      if (is_free(from)) continue;
      if (expired(days_[from])) {
        slots_[from] = {};
        ++removed;
        continue;
      }
      next = move_down(from, next);
    }
    used_ -= removed;
    shrink_if_sparse();
    return removed;
  }

  // In ascending order: visit(const OrderedEntry&, DayMark).
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t i = 0; i < places_; ++i) {
      if (!is_free(i)) visit(entry_at(i), days_[i]);
    }
  }

  void clear();
  [[nodiscard]] std::size_t size() const { return used_; }
  [[nodiscard]] std::size_t bytes() const { return block_.bytes(); }

 private:
  static constexpr std::size_t kFreeAtEnd = 4;
  [[nodiscard]] std::size_t home_of(std::uint64_t key) const {
    return place_of(key << shared_bits_, capacity_);
  }
  [[nodiscard]] bool is_free(std::size_t i) const {
    return slots_[i].key == 0 && slots_[i].rest == 0;
  }
  std::size_t move_down(std::size_t from, std::size_t next);
  [[nodiscard]] std::size_t capacity_for(std::size_t entries) const;
  void rebuild(std::size_t capacity, std::size_t slack);
  [[nodiscard]] bool copy_to(HotShard& other) const;
  void shrink_if_sparse();

  unsigned shared_bits_;
  std::size_t stagger_;
  PageBlock block_;
  // Complements of the entries: a free place, all zero, is then greater than every entry, and a
  // search needs no second test for it. The last kFreeAtEnd places are always free.
  OrderedEntry* slots_ = nullptr;
  DayMark* days_ = nullptr;
  std::size_t capacity_ = 0;  // home places
  std::size_t places_ = 0;    // capacity and the slack after it, instead of a wrap-around
  std::size_t used_ = 0;
};

}  // namespace tally::aggregator::dedup
