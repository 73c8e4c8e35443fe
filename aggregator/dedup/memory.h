// The dedup memory of one partition: every identity that was counted within the horizon. The young
// ones lie in a hot table; when its owner says so they are spilled to immutable runs on the local
// disk, which are a cache: Postgres holds the same entries in its segments, and a run is believed
// only while the database still knows every segment that the run names.
//
// Exact: what it answers does not depend on what is hot and what is spilled. Forgets by whole days
// of the log's clock, never before the horizon is over. Threads: owned by one worker.
//
// Order of calls: constructor; advance(newest day stored); adopt(); for each segment that is not
// covered restore() of all its entries and then committed(); then probe and insert as records come,
// committed() as commits are reported. spill() at any moment between two segments or records.
#pragma once

#include "aggregator/dedup/log_day.h"
#include "aggregator/dedup/segment_token.h"
#include "core/identity.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>

namespace tally::aggregator::dedup {

enum class Seen : std::uint8_t {
  kNever,
  kSameContent,      // a retry
  kOtherContent,     // a conflict: same identity, other billing-relevant content
  kOtherGeneration,  // remembered under another catalogue: a duplicate that cannot be compared
};

struct MemorySettings {
  LogDay horizon_days = 0;             // entries first seen before today - this count as never seen
  std::filesystem::path cache_folder;  // empty: no runs, everything stays hot
  // Whose the runs are. Each partition has a folder of its own below cache_folder; runs in it of
  // another deployment or generation are removed, not read.
  std::uint64_t deployment = 0;
  std::int32_t partition = 0;
  std::int64_t generation = 0;
  // Names the runs and salts their checksums.
  std::function<SegmentToken()> new_token = SegmentToken::random;
  // Entries are kept for so many days before the newest, if that is longer: whoever asks about an
  // earlier day than the newest still meets what counted then.
  LogDay kept_days = 0;
};

// A run failed its checksum or could not be read. It has been removed already: the owner gives this
// memory up and loads again; the segments of that run are then no longer covered.
class CacheBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Memory {
 public:
  // Finds the runs on disk and trusts none yet.
  explicit Memory(const MemorySettings& settings);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Optional, a little before probe() and insert(): what they look at first comes into the cache.
  void prefetch(const core::DedupEntry& entry) const;
  // May read the local disk. Throws CacheBroken.
  [[nodiscard]] Seen probe(const core::DedupEntry& entry, LogDay today) const;
  // What probe() compares with: the entry that is remembered for this identity.
  [[nodiscard]] std::optional<core::DedupEntry> remembered(const core::DedupEntry& entry,
                                                           LogDay today) const;
  // The first day of which entries are kept.
  [[nodiscard]] LogDay oldest_day() const;
  // The identity must not be remembered (probe said kNever on this day). `day` is not older than
  // the newest day by more than the horizon.
  void insert(const core::DedupEntry& entry, LogDay day);
  // Puts back what a segment holds: of two claims of one identity (the horizon was shorter once)
  // the later day stands, and of one day the last. Twice the same changes nothing.
  void restore(const core::DedupEntry& entry, LogDay day);
  // Once per batch: on a new day drops what is kept no more, so that every hot entry is at most the
  // days kept older than the newest day, however long the log was idle.
  void advance(LogDay today);
  // The same, and from today on entries are kept from `first_kept` on, but for kMaxHorizonDays at
  // most. What is gone stays so.
  void advance(LogDay today, LogDay first_kept);
  // Room for `more` further entries without growing in between.
  void reserve(std::size_t more);

  // Drops every run that names a segment of `oldest_day` or later which is not `stored`: it tells
  // of another past. The others are believed from now on. Once, before anything is restored.
  void adopt(LogDay oldest_day, const std::function<bool(const SegmentToken&)>& stored);
  // All entries of this segment that still count lie in a run: it need not be loaded. Asked while
  // loading: spills and merges since adopt() do not change the answer.
  [[nodiscard]] bool covers(const SegmentToken& token) const;
  // Optional: all is loaded. Frees what covers() stands on, which says no from now on.
  void loaded();
  // The hot table holds all entries of this segment, and Postgres the segment: a run made from now
  // on may name it.
  void committed(LogDay day, const SegmentToken& token);
  // Moves every hot entry to a run, but for the `provisional` ones: those of plans that are not yet
  // committed, each as often as they claim it. In place of such a one the run has the committed
  // claim that it replaced, if that is still kept. False: the disk refused, and the memory is as it
  // was. May merge runs. Throws CacheBroken when a run that is to be merged cannot be read.
  [[nodiscard]] bool spill(std::span<const core::DedupEntry> provisional);
  // Removes all runs of this partition, whoever's they are. No Memory may stand on them.
  static void discard(const MemorySettings& settings);

  // Identities remembered; one that was claimed again after it expired may count twice.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t hot_bytes() const;   // of what a spill moves: the hot table, mainly
  [[nodiscard]] std::size_t bytes() const;       // of anonymous memory in all, filters included
  [[nodiscard]] std::size_t disk_bytes() const;  // of the runs

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tally::aggregator::dedup
