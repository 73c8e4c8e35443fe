// The hot part of the memory: entries of 16 bytes with the day of first sight beside each, in
// shards by the leading bits of the digest. Each shard grows for itself, at sizes of its own, so
// that a growth costs an eighth of the table for a moment and not a second copy of it. Not more of
// them: a probe misses the table of pages less on huge pages, and only blocks of megabytes have
// those.
//
// Exact. Every entry lies within the days kept before `newest_day`; advance() keeps it so, which is
// what makes eight bits of a day enough (log_day.h). Threads: one.
#pragma once

#include "aggregator/dedup/hot_shard.h"
#include "aggregator/dedup/log_day.h"
#include "aggregator/dedup/ordered_entry.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tally::aggregator::dedup {

struct DatedEntry {
  OrderedEntry entry;
  LogDay day = 0;
};

class HotTable {
 public:
  explicit HotTable(LogDay kept_days);

  void prefetch(const OrderedEntry& entry) const { shard_of(entry).prefetch(entry); }
  // Within the horizon of the newest day or not.
  [[nodiscard]] std::optional<DatedEntry> find(const OrderedEntry& entry) const;
  // An identity that was not claimed since `since`; advances to the day. A CHECK. Returns the
  // earlier claim of it that this one replaces, if it is still kept.
  std::optional<DatedEntry> insert(const OrderedEntry& entry, LogDay day, LogDay since);
  // Of two days the later stands, of one day the last.
  void restore(const OrderedEntry& entry, LogDay day);
  void advance(LogDay today);
  // From the next advance() on.
  void keep(LogDay kept_days);
  void reserve(std::size_t more);
  void clear();

  // In ascending order: visit(const OrderedEntry&, LogDay).
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const HotShard& shard : shards_) {
      shard.for_each([&](const OrderedEntry& entry, DayMark mark) {
        visit(entry, day_of(mark, newest_day_));
      });
    }
  }

  [[nodiscard]] LogDay newest_day() const { return newest_day_; }
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t bytes() const;

 private:
  static constexpr unsigned kShardBits = 3;
  static_assert(1U << kShardBits == HotShard::kStaggers, "each shard grows at its own sizes");

  [[nodiscard]] const HotShard& shard_of(const OrderedEntry& entry) const {
    return shards_[entry.key >> (64U - kShardBits)];
  }
  HotShard& shard_to_change(const OrderedEntry& entry, LogDay day);
  void add(HotShard& shard, HotShard::Place place, const OrderedEntry& entry, LogDay day);
  void replace(HotShard& shard, HotShard::Place place, const OrderedEntry& entry, LogDay day);

  LogDay kept_days_ = 0;
  LogDay newest_day_ = 0;
  std::vector<HotShard> shards_;
  std::array<std::size_t, kDayMarks> of_day_{};  // entries with each mark: is anything to drop?
};

}  // namespace tally::aggregator::dedup
