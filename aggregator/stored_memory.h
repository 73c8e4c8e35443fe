// What an acquisition makes of the stored dedup memory: which rows a partition needs after any
// number of growths, and how they become its Memory. Pure, so that every TotalsStore does it alike.
#pragma once

#include "aggregator/dedup/memory.h"
#include "aggregator/dedup/segment_token.h"
#include "aggregator/totals_store.h"
#include "core/timestamp.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// A segment or a roll-up without its entries.
struct StoredRow {
  LogDay day = 0;
  dedup::SegmentToken token;
  std::int32_t partitions = 0;  // of the topic, when its entries were claimed
  std::int64_t entry_count = 0;
  std::vector<dedup::SegmentToken> replaces;  // empty: a segment
  bool own_segment = false;                   // one that the partition itself wrote
};

// Could a row that `writer` wrote under `writer_partitions` hold an identity at home in `home`
// under `partitions`? Both are the same murmur2 value, modulo the one and the other.
[[nodiscard]] bool may_hold(core::PartitionId writer, std::int32_t writer_partitions,
                            core::PartitionId home, std::int32_t partitions);

// Threads: one. Order of calls: constructor with every row of first_day() or later that may_hold();
// a Memory made of settings(); begin(); add() for each of needed(), in order.
class MemoryLoad {
 public:
  // `clock`: the partition's; nullopt when it has never seen a record. `slowest_day`: of all
  // partitions; nullopt when nobody has seen one.
  MemoryLoad(const AcquireRequest& request, std::optional<core::Timestamp> clock,
             std::optional<LogDay> slowest_day, std::vector<StoredRow> rows);

  // Rows before this day are not needed; nullopt: all are.
  [[nodiscard]] static std::optional<LogDay> first_day(const AcquireRequest& request,
                                                       std::optional<core::Timestamp> clock,
                                                       std::optional<LogDay> slowest_day);
  // The request's, with days kept that reach from the newest row back to all that the partition's
  // own, perhaps earlier, clock still needs, and what lags behind it; as far as can be for one
  // without a clock.
  [[nodiscard]] const dedup::MemorySettings& settings() const { return settings_; }
  // Rows before this day are needed, but no memory reaches back so far; nullopt: it does.
  [[nodiscard]] std::optional<LogDay> cut_before() const { return cut_before_; }
  // How many the partition has for a roll-up to join.
  [[nodiscard]] std::int64_t own_segments() const { return own_segments_; }
  // Adopts the local runs that the rows prove.
  void begin(dedup::Memory& memory);
  // Ordered by day and token.
  [[nodiscard]] const std::vector<StoredRow>& needed() const { return rows_; }
  // `entries`: the bytes of the row, 16 for each entry. A CHECK that they are as many as it says.
  // Spills when the hot memory is over the request's budget. Throws dedup::CacheBroken.
  void add(const StoredRow& row, std::string_view entries, dedup::Memory& memory) const;

 private:
  core::PartitionId home_;
  std::int32_t partitions_;
  std::size_t hot_budget_bytes_;
  dedup::MemorySettings settings_;
  LogDay newest_ = 0;
  std::int64_t own_segments_ = 0;
  std::optional<LogDay> cut_before_;
  std::vector<StoredRow> rows_;
};

}  // namespace tally::aggregator
