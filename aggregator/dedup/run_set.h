// The runs of one partition: which of them are believed, what they answer, and when they are
// merged. At most kMostRuns of them once a spill is over, as long as the disk has room to merge.
//
// A run names the segments whose entries it holds. It names a segment only if every entry of it
// that had not expired when the run was written is in the run (or a later claim of the identity
// is, of a segment that it names), and holds no entry but those of the segments named, now or
// before they expired. So the run speaks for the database exactly while the database has all
// segments named.
//
// Threads: one.
#pragma once

#include "aggregator/dedup/hot_table.h"
#include "aggregator/dedup/memory.h"
#include "aggregator/dedup/run_file.h"
#include "aggregator/dedup/run_writer.h"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

namespace tally::aggregator::dedup {

class RunSet {
 public:
  static constexpr std::size_t kMostRuns = 5;

  // Opens what lies in the partition's folder and removes what is of no use.
  explicit RunSet(const MemorySettings& settings);

  // As Memory::adopt.
  void adopt(LogDay oldest_day, const std::function<bool(const SegmentToken&)>& stored);
  [[nodiscard]] bool covers(const SegmentToken& token) const { return covered_.contains(token); }
  // Loading is over: covers() answers no from now on, and its memory is free.
  void forget_covered() { covered_ = {}; }

  [[nodiscard]] bool empty() const { return runs_.empty(); }
  void prefetch(const OrderedEntry& entry) const {
    for (const auto& run : runs_) run->prefetch(entry);
  }
  // The latest claim of the identity. Throws CacheBroken.
  [[nodiscard]] std::optional<DatedEntry> find(const OrderedEntry& entry) const;

  // A writer for a new run in the folder. Throws DiskFailure.
  [[nodiscard]] std::unique_ptr<RunWriter> begin(std::size_t max_entries, LogDay newest_day) const;
  // Finishes and opens it, not yet part of the set. Throws DiskFailure.
  [[nodiscard]] std::unique_ptr<RunFile> finish(RunWriter& writer,
                                                std::vector<RunToken> tokens) const;
  // Believes it, and merges runs when there are too many. Throws CacheBroken.
  void add(std::unique_ptr<RunFile> run, LogDay today);
  void keep(LogDay kept_days) { kept_days_ = kept_days; }
  // Removes runs of which every entry has expired.
  void drop_expired(LogDay today);

  [[nodiscard]] std::size_t entries() const;
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] std::size_t disk_bytes() const;

  static std::filesystem::path folder_of(const MemorySettings& settings);

 private:
  [[nodiscard]] std::vector<std::size_t> due_for_merge(LogDay today) const;
  void merge(const std::vector<std::size_t>& which, LogDay today);
  void write_merged(std::span<const RunFile* const> inputs, LogDay today, RunWriter& writer) const;
  [[nodiscard]] LogDay oldest_kept(LogDay today) const { return today - kept_days_; }
  void remove(const RunFile& run) const;

  std::filesystem::path folder_;
  RunOwner owner_;
  LogDay kept_days_;
  std::function<SegmentToken()> new_token_;
  std::vector<std::unique_ptr<RunFile>> found_;  // on disk, not yet believed
  std::vector<std::unique_ptr<RunFile>> runs_;   // believed; the largest first
  std::unordered_set<SegmentToken> covered_;
};

}  // namespace tally::aggregator::dedup
