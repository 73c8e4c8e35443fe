#include "aggregator/stored_memory.h"

#include "aggregator/dedup/log_day.h"
#include "aggregator/dedup/ordered_entry.h"
#include "core/check.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

namespace tally::aggregator {

namespace {

using dedup::Memory;
using dedup::SegmentToken;

// The stored form of an entry: hi, then lo, each little-endian.
static_assert(sizeof(core::DedupEntry) == 16 && std::endian::native == std::endian::little);

// About: the table is 78 to 88 percent full, at 17 bytes a place (dedup/hot_shard.cc).
constexpr std::size_t kHotBytesPerEntry = 22;

// Every token that the database still knows.
std::vector<SegmentToken> tokens_of(const std::vector<StoredRow>& rows) {
  std::vector<SegmentToken> tokens;
  for (const StoredRow& row : rows) {
    tokens.push_back(row.token);
    tokens.insert(tokens.end(), row.replaces.begin(), row.replaces.end());
  }
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

// The row's entries that are wanted, those of one part of the memory together: the memory keeps its
// order, so a part of it fits the processor's caches, and all of it does not. Within a part the
// order stays.
template <class Wanted>
std::vector<core::DedupEntry> in_parts(std::string_view entries, const Wanted& wanted) {
  constexpr unsigned kPartBits = 8;
  std::array<std::size_t, (std::size_t{1} << kPartBits) + 1> next{};
  const auto part_of = [](const core::DedupEntry& entry) {
    return dedup::OrderedEntry(entry).key >> (64U - kPartBits);
  };
  const auto for_each_wanted = [&](const auto& visit) {
    for (std::size_t at = 0; at < entries.size(); at += sizeof(core::DedupEntry)) {
      core::DedupEntry entry;
      std::memcpy(&entry, entries.data() + at, sizeof(entry));
      if (wanted(entry)) visit(entry);
    }
  };
  for_each_wanted([&](const core::DedupEntry& entry) { ++next.at(part_of(entry) + 1); });
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<core::DedupEntry> ordered(next.back());
  for_each_wanted(
      [&](const core::DedupEntry& entry) { ordered.at(next.at(part_of(entry))++) = entry; });
  return ordered;
}

bool is_covered(const StoredRow& row, const Memory& memory) {
  if (memory.covers(row.token)) return true;
  return !row.replaces.empty() &&
         std::all_of(row.replaces.begin(), row.replaces.end(),
                     [&](const SegmentToken& token) { return memory.covers(token); });
}

}  // namespace

bool may_hold(core::PartitionId writer, std::int32_t writer_partitions, core::PartitionId home,
              std::int32_t partitions) {
  const std::int32_t shared = std::gcd(writer_partitions, partitions);
  return writer.value() % shared == home.value() % shared;
}

std::optional<LogDay> MemoryLoad::first_day(const AcquireRequest& request,
                                            std::optional<core::Timestamp> clock,
                                            std::optional<LogDay> slowest_day) {
  if (!clock) return std::nullopt;
  return std::max(first_kept(log_day_of(*clock), slowest_day, request.memory.horizon_days), 0);
}

MemoryLoad::MemoryLoad(const AcquireRequest& request, std::optional<core::Timestamp> clock,
                       std::optional<LogDay> slowest_day, std::vector<StoredRow> rows)
    : home_(request.partition),
      partitions_(request.partitions),
      hot_budget_bytes_(request.memory.cache_folder.empty()
                            ? std::numeric_limits<std::size_t>::max()
                            : request.hot_budget_bytes),
      settings_(request.memory),
      rows_(std::move(rows)) {
  own_segments_ = std::ranges::count_if(rows_, &StoredRow::own_segment);
  std::sort(rows_.begin(), rows_.end(), [](const StoredRow& a, const StoredRow& b) {
    return std::tie(a.day, a.token) < std::tie(b.day, b.token);
  });
  if (clock) newest_ = log_day_of(*clock);
  const LogDay own_day = newest_;
  if (!rows_.empty()) newest_ = std::max(newest_, rows_.back().day);
  // Another partition of an earlier topology may be days ahead of this one's clock. Without a clock
  // nobody knows how far back its first record will lie.
  const LogDay oldest =
      first_day(request, clock, slowest_day).value_or(rows_.empty() ? newest_ : rows_.front().day);
  settings_.kept_days =
      clock ? std::min(newest_ - std::min(oldest, own_day - 1), dedup::kMaxHorizonDays)
            : dedup::kMaxHorizonDays;
  const LogDay first = newest_ - settings_.kept_days;
  if (first > oldest) cut_before_ = first;
  std::erase_if(rows_, [&](const StoredRow& row) { return row.day < first; });
}

void MemoryLoad::begin(Memory& memory) {
  memory.advance(newest_);
  const std::vector<SegmentToken> known = tokens_of(rows_);
  memory.adopt(newest_ - settings_.kept_days, [&](const SegmentToken& token) {
    return std::binary_search(known.begin(), known.end(), token);
  });
  std::erase_if(rows_, [&](const StoredRow& row) { return is_covered(row, memory); });
  std::size_t at_home = 0;
  for (const StoredRow& row : rows_) {
    at_home += static_cast<std::size_t>(row.entry_count * std::gcd(row.partitions, partitions_) /
                                        partitions_);
  }
  if (at_home <= hot_budget_bytes_ / kHotBytesPerEntry) memory.reserve(at_home);
}

void MemoryLoad::add(const StoredRow& row, std::string_view entries, Memory& memory) const {
  TALLY_CHECK(static_cast<std::int64_t>(entries.size()) ==
                  row.entry_count * static_cast<std::int64_t>(sizeof(core::DedupEntry)),
              "a row of {} entries in {} bytes", row.entry_count, entries.size());
  const std::vector<core::DedupEntry> ordered =
      in_parts(entries, [&](const core::DedupEntry& entry) {
        return entry.home() % static_cast<std::uint32_t>(partitions_) ==
               static_cast<std::uint32_t>(home_.value());
      });
  // Room first: a part that fills up before the others would make its rows of the table long.
  memory.reserve(ordered.size());
  for (const core::DedupEntry& entry : ordered) memory.restore(entry, row.day);
  memory.committed(row.day, row.token);
  // Refused by the disk, it stays hot; the session says so when it tries the same.
  if (memory.hot_bytes() > hot_budget_bytes_) static_cast<void>(memory.spill({}));
}

}  // namespace tally::aggregator
