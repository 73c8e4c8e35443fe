#include "aggregator/dedup/hot_table.h"

#include "core/check.h"

#include <algorithm>

namespace tally::aggregator::dedup {

HotTable::HotTable(LogDay kept_days) {
  keep(kept_days);
  shards_.reserve(HotShard::kStaggers);
  for (std::size_t i = 0; i < HotShard::kStaggers; ++i) shards_.emplace_back(kShardBits, i);
}

void HotTable::keep(LogDay kept_days) {
  TALLY_CHECK(kept_days >= 1 && kept_days <= kMaxHorizonDays, "{} days kept", kept_days);
  kept_days_ = kept_days;
}

std::optional<DatedEntry> HotTable::find(const OrderedEntry& entry) const {
  const HotShard& shard = shard_of(entry);
  const HotShard::Place place = shard.find(entry);
  if (!place.found) return std::nullopt;
  return DatedEntry{shard.entry_at(place.index), day_of(shard.day_at(place.index), newest_day_)};
}

HotShard& HotTable::shard_to_change(const OrderedEntry& entry, LogDay day) {
  advance(day);
  TALLY_CHECK(!is_expired(day, newest_day_, kept_days_), "a claim of day {} on day {}", day,
              newest_day_);
  return shards_[entry.key >> (64U - kShardBits)];
}

void HotTable::add(HotShard& shard, HotShard::Place place, const OrderedEntry& entry, LogDay day) {
  shard.insert(place, entry, mark_of(day));
  ++of_day_[mark_of(day)];
}

void HotTable::replace(HotShard& shard, HotShard::Place place, const OrderedEntry& entry,
                       LogDay day) {
  --of_day_[shard.day_at(place.index)];
  shard.replace(place.index, entry, mark_of(day));
  ++of_day_[mark_of(day)];
}

std::optional<DatedEntry> HotTable::insert(const OrderedEntry& entry, LogDay day, LogDay since) {
  HotShard& shard = shard_to_change(entry, day);
  const HotShard::Place place = shard.find(entry);
  if (!place.found) {
    add(shard, place, entry, day);
    return std::nullopt;
  }
  const DatedEntry earlier{shard.entry_at(place.index),
                           day_of(shard.day_at(place.index), newest_day_)};
  TALLY_CHECK(earlier.day < since, "an identity was claimed twice");
  replace(shard, place, entry, day);
  return earlier;
}

void HotTable::restore(const OrderedEntry& entry, LogDay day) {
  HotShard& shard = shard_to_change(entry, day);
  const HotShard::Place place = shard.find(entry);
  if (!place.found) {
    add(shard, place, entry, day);
  } else if (day >= day_of(shard.day_at(place.index), newest_day_)) {
    replace(shard, place, entry, day);
  }
}

void HotTable::advance(LogDay today) {
  if (today <= newest_day_) return;
  const auto expired = [&](DayMark mark) {
    return is_expired(day_of(mark, newest_day_), today, kept_days_);
  };
  bool any = false;
  for (std::size_t mark = 0; mark < of_day_.size(); ++mark) {
    if (of_day_[mark] == 0 || !expired(static_cast<DayMark>(mark))) continue;
    of_day_[mark] = 0;
    any = true;
  }
  if (any) {
    for (HotShard& shard : shards_) shard.remove_if(expired);
  }
  newest_day_ = today;
}

void HotTable::reserve(std::size_t more) {
  if (more == 0) return;
  const std::size_t mean = (size() + more) / shards_.size();
  // The shards are hit at random: five standard deviations, the root rounded up to a power of two.
  std::size_t root = 1;
  while (root * root < mean) root *= 2;
  for (HotShard& shard : shards_) shard.reserve(mean + std::min(5 * root, more));
}

void HotTable::clear() {
  for (HotShard& shard : shards_) shard.clear();
  of_day_.fill(0);
}

std::size_t HotTable::size() const {
  std::size_t entries = 0;
  for (const HotShard& shard : shards_) entries += shard.size();
  return entries;
}

std::size_t HotTable::bytes() const {
  std::size_t bytes = 0;
  for (const HotShard& shard : shards_) bytes += shard.bytes();
  return bytes;
}

}  // namespace tally::aggregator::dedup
