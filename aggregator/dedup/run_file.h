// One finished run, read only. Its filter and the keys of its blocks lie in memory, about ten bits
// an entry; entries are read from disk, 4,096 bytes and a checksum at a time, with pread: a disk
// that fails is an error here and not a signal. Threads: one.
#pragma once

#include "aggregator/dedup/disk_file.h"
#include "aggregator/dedup/filter.h"
#include "aggregator/dedup/hot_table.h"
#include "aggregator/dedup/run_format.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

namespace tally::aggregator::dedup {

class RunFile {
 public:
  // Reads and checks everything but the blocks. Throws DiskFailure when the file cannot be read or
  // is not a whole run of this owner: it is of no use then and may be removed.
  RunFile(const std::filesystem::path& path, const RunOwner& owner);

  void prefetch(const OrderedEntry& entry) const {
    filter_.prefetch(FilterProbe(entry, filter_.size()));
  }
  [[nodiscard]] bool may_hold(const OrderedEntry& entry) const {
    return filter_.may_hold(FilterProbe(entry, filter_.size()));
  }
  // Throws DiskFailure.
  [[nodiscard]] std::optional<DatedEntry> find(const OrderedEntry& entry) const;
  // Read from the file each time: there may be many. Throws DiskFailure.
  [[nodiscard]] std::vector<RunToken> tokens() const;

  // Entries of `first` and later days.
  [[nodiscard]] std::size_t entries_since(LogDay first) const;
  [[nodiscard]] std::size_t entries() const { return header_.entries; }
  [[nodiscard]] std::size_t blocks() const { return header_.blocks.count; }
  // The blocks from `first` on, as many as fit, each checked. Throws DiskFailure.
  void read_blocks(std::size_t first, std::span<RunBlock> blocks) const;
  [[nodiscard]] LogDay day_in(const RunBlock& block, std::size_t i) const {
    return header_.first_day + block.days[i];
  }

  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  [[nodiscard]] std::size_t bytes() const {
    return filter_.bytes() + index_.capacity() * sizeof(std::uint64_t) + sizeof(*this);
  }
  [[nodiscard]] std::size_t disk_bytes() const { return header_.file_bytes; }

 private:
  void check_header(const RunOwner& owner) const;
  void read_section(const RunSection& section, std::span<std::byte> bytes) const;
  [[noreturn]] void broken(const char* what) const;

  DiskFile file_;
  RunHeader header_;
  std::vector<std::uint64_t> index_;
  Filter filter_;
};

// Walks over a run from front to back, many blocks at a time.
class RunCursor {
 public:
  explicit RunCursor(const RunFile& run);
  [[nodiscard]] bool done() const { return at_ == count_; }
  [[nodiscard]] const OrderedEntry& entry() const { return block().entries[at_in_block_]; }
  [[nodiscard]] LogDay day() const { return run_.day_in(block(), at_in_block_); }
  void next();

 private:
  static constexpr std::size_t kBlocksAtOnce = 32;
  [[nodiscard]] const RunBlock& block() const { return blocks_[at_]; }
  void fill();

  const RunFile& run_;
  std::vector<RunBlock> blocks_;
  std::size_t next_block_ = 0;  // to be read
  std::size_t at_ = 0;          // the block under the cursor, in blocks_
  std::size_t count_ = 0;       // blocks read into blocks_; 0 at the end
  std::size_t at_in_block_ = 0;
};

}  // namespace tally::aggregator::dedup
