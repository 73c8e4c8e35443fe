// The dedup memory of one partition: every identity that was counted within the horizon, in one
// open-addressing table of 16-byte entries with the day of first sight beside each (17 bytes a
// slot).
//
// Exact for what it holds; forgets by whole days of the log's clock, never before the horizon is
// over. Threads: owned by one worker. Not durable: the segments in Postgres are; this is their
// mirror plus the provisional entries of plans not yet committed, which die with the session when a
// commit is given up.
#pragma once

#include "core/identity.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tally::aggregator::dedup {

// Days since 1970 by the log's clock.
using LogDay = std::int32_t;

enum class Seen : std::uint8_t {
  kNever,
  kSameContent,      // a retry
  kOtherContent,     // a conflict: same identity, other billing-relevant content
  kOtherGeneration,  // remembered under another catalogue: a duplicate that cannot be compared
};

class Memory {
 public:
  // Entries first seen on a day before `today - horizon_days` count as never seen.
  explicit Memory(LogDay horizon_days);

  [[nodiscard]] Seen probe(const core::DedupEntry& entry, LogDay today) const;
  // The identity must not be remembered (probe said kNever on this day). `day` is not older than
  // the newest day by more than the horizon.
  void insert(const core::DedupEntry& entry, LogDay day);
  // Puts back what a segment holds, in the order of days: of two claims of one identity (the
  // horizon was shorter once) the later stands.
  void restore(const core::DedupEntry& entry, LogDay day);
  // Once per batch: on a new day drops what has expired, so that every entry is at most the horizon
  // older than the newest day and its 8-bit mark is never ambiguous, however long the log was idle.
  void advance(LogDay today);
  // Room for `more` further entries without growing in between.
  void reserve(std::size_t more);

  [[nodiscard]] std::size_t size() const {
    return used_;
  }  // expired entries included until a growth
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Table {
    std::vector<core::DedupEntry> entries;
    std::vector<std::uint8_t> days;  // day mod 256, read against newest_day_
  };
  [[nodiscard]] std::size_t find_slot(const core::DedupEntry& entry) const;
  [[nodiscard]] std::size_t slot_to_fill(const core::DedupEntry& entry, LogDay day);
  void fill(std::size_t slot, const core::DedupEntry& entry, LogDay day);
  [[nodiscard]] bool expired(std::uint8_t day_mark, LogDay today) const;
  void rehash(std::size_t capacity, LogDay today);

  LogDay horizon_days_;
  Table table_;
  std::size_t mask_ = 0;
  std::size_t used_ = 0;
  LogDay newest_day_ = 0;  // all entries lie within the horizon before it
};

}  // namespace tally::aggregator::dedup
