#include "aggregator/dedup/hot_shard.h"

#include "aggregator/dedup/fetch_ahead.h"
#include "core/check.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tally::aggregator::dedup {
namespace {

// Growth from 7/8 full. An entry of a table that grows by a share of itself was moved once more
// often than the share goes into one. So a table of a few megabytes grows by halves: 19.4 to 29.2
// bytes an entry, moved three times; one of some ten by quarters: 24.3 bytes at most; and by
// eighths where memory counts: 21.9.
constexpr std::size_t kLoadNumerator = 7;
constexpr std::size_t kLoadDenominator = 8;
constexpr std::size_t kMiddleCapacity = 512 * 1024;
constexpr std::size_t kLargeCapacity = 1024 * 1024;
constexpr std::size_t kSmallCapacity = 256;  // below it, capacities double
constexpr std::size_t kFirstCapacity = 16;
constexpr std::size_t kMaxFirstSlack = 128;
static_assert(kPlaceBytes * 100 * kLoadDenominator * 9 / 8 / kLoadNumerator <= 2250,
              "at most 22.5 bytes an entry");

OrderedEntry complement(const OrderedEntry& entry) { return {~entry.key, ~entry.rest}; }

std::size_t needed_for(std::size_t entries) {
  return entries * kLoadDenominator / kLoadNumerator + 1;
}

}  // namespace

OrderedEntry HotShard::entry_at(std::size_t index) const { return complement(slots_[index]); }

void HotShard::prefetch(const OrderedEntry& entry) const {
  if (places_ == 0) return;
  const std::size_t home = home_of(entry.key);
  // A row is some dozen entries, four of which share a line.
  for (std::size_t line = 0; line < 3; ++line) fetch_ahead(slots_ + home + 4 * line);
  fetch_ahead(days_ + home);
}

HotShard::Place HotShard::find(const OrderedEntry& entry) const {
  if (places_ == 0) return {};
  const OrderedEntry wanted = complement(entry);
  std::size_t i = home_of(entry.key);
  // Four at a time, counted instead of branched on: where a row ends cannot be foretold.
  std::size_t lower = kFreeAtEnd;
  while (lower == kFreeAtEnd) {
    lower = 0;
    for (std::size_t j = 0; j < kFreeAtEnd; ++j) lower += slots_[i + j].key > wanted.key ? 1U : 0U;
    i += lower;
  }
  while (slots_[i].key == wanted.key && slots_[i].rest_identity() > wanted.rest_identity()) ++i;
  return {i, !is_free(i) && slots_[i].same_identity(wanted)};
}

void HotShard::replace(std::size_t index, const OrderedEntry& entry, DayMark day) {
  TALLY_CHECK(entry_at(index).same_identity(entry));
  slots_[index] = complement(entry);
  days_[index] = day;
}

void HotShard::insert(Place place, const OrderedEntry& entry, DayMark day) {
  const OrderedEntry stored = complement(entry);
  TALLY_CHECK(!place.found, "an identity is in the hot table twice");
  TALLY_CHECK(stored.key != 0 || stored.rest != 0, "the one entry that means a free place");
  if (needed_for(used_ + 1) > capacity_) {
    reserve(used_ + 1);
    place = find(entry);
  }
  for (;;) {
    const std::size_t at = place.index;
    std::size_t free = at;
    while (!is_free(free)) ++free;
    if (free + kFreeAtEnd >= places_) {  // the row reached the end
      rebuild(capacity_, 2 * (places_ - capacity_));
      place = find(entry);
      continue;
    }
    std::memmove(slots_ + at + 1, slots_ + at, (free - at) * sizeof(OrderedEntry));
    std::memmove(days_ + at + 1, days_ + at, (free - at) * sizeof(DayMark));
    slots_[at] = stored;
    days_[at] = day;
    ++used_;
    return;
  }
}

void HotShard::reserve(std::size_t entries) {
  const std::size_t capacity = capacity_for(entries);
  if (capacity > capacity_) rebuild(capacity, std::min(capacity, kMaxFirstSlack));
}

// Sizes form a ladder; each shard has rungs of its own, so that the shards of a memory
// grow one after the other and not all at once.
std::size_t HotShard::capacity_for(std::size_t entries) const {
  const std::size_t needed = needed_for(entries);
  std::size_t capacity = kFirstCapacity;
  while (capacity < needed && capacity < kSmallCapacity) capacity *= 2;
  if (capacity >= needed) return capacity;
  std::size_t rung = kSmallCapacity;
  const auto step = [&] {
    if (rung < kMiddleCapacity) return rung / 2;
    return rung < kLargeCapacity ? rung / 4 : rung / 8;
  };
  const auto staggered = [&] { return rung + step() * stagger_ / kStaggers; };
  while (staggered() < needed) rung += step();
  return staggered();
}

std::size_t HotShard::move_down(std::size_t from, std::size_t next) {
  const std::size_t to = std::max(home_of(~slots_[from].key), next);
  if (to != from) {
    slots_[to] = std::exchange(slots_[from], {});
    days_[to] = days_[from];
  }
  return to + 1;
}

bool HotShard::copy_to(HotShard& other) const {
  std::size_t next = 0;
  for (std::size_t from = 0; from < places_; ++from) {
    if (is_free(from)) continue;
    const std::size_t to = std::max(other.home_of(~slots_[from].key), next);
    if (to + kFreeAtEnd >= other.places_) return false;
    other.slots_[to] = slots_[from];
    other.days_[to] = days_[from];
    next = to + 1;
  }
  other.used_ = used_;
  return true;
}

void HotShard::rebuild(std::size_t capacity, std::size_t slack) {
  for (;; slack *= 2) {
    HotShard fresh(shared_bits_, stagger_);
    fresh.capacity_ = capacity;
    fresh.places_ = capacity + slack;
    fresh.block_ = PageBlock(fresh.places_ * kPlaceBytes);
    fresh.slots_ = reinterpret_cast<OrderedEntry*>(fresh.block_.data());
    fresh.days_ = reinterpret_cast<DayMark*>(fresh.slots_ + fresh.places_);
    if (!copy_to(fresh)) continue;
    *this = std::move(fresh);
    return;
  }
}

void HotShard::shrink_if_sparse() {
  if (used_ == 0) {
    clear();
  } else if (needed_for(used_) * 2 < capacity_) {
    const std::size_t capacity = capacity_for(used_);
    if (capacity < capacity_) rebuild(capacity, std::min(capacity, kMaxFirstSlack));
  }
}

void HotShard::clear() { *this = HotShard(shared_bits_, stagger_); }

}  // namespace tally::aggregator::dedup
