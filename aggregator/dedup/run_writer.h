// Writes one run, front to back, in memory that does not grow with it (but for eight bytes a
// block). Nobody sees the run before finish(): it stands under a name of its own until then, which
// the destructor removes. Throws DiskFailure. Threads: one.
#pragma once

#include "aggregator/dedup/disk_file.h"
#include "aggregator/dedup/run_format.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace tally::aggregator::dedup {

// Fills one section piece by piece.
class SectionWriter {
 public:
  SectionWriter(const DiskFile& file, std::uint64_t offset_bytes, std::uint64_t salt);
  void append(std::span<const std::byte> bytes);
  void flush();
  [[nodiscard]] std::uint64_t checksum() const { return checksum_; }  // after flush()
  [[nodiscard]] std::uint64_t end_bytes() const { return offset_bytes_; }

 private:
  const DiskFile& file_;
  std::uint64_t offset_bytes_;
  std::uint64_t checksum_;
  std::vector<std::byte> piece_;
};

class RunWriter {
 public:
  // At most `max_entries` will come, none of a day after `newest_day` or more than 255 days older.
  // `token` is new and random: a block of another run never passes for one of this.
  RunWriter(const std::filesystem::path& folder, const RunOwner& owner, const SegmentToken& token,
            std::size_t max_entries, LogDay newest_day);
  ~RunWriter();
  RunWriter(const RunWriter&) = delete;
  RunWriter& operator=(const RunWriter&) = delete;

  // In strictly ascending order of identities.
  void add(const OrderedEntry& entry, LogDay day);
  [[nodiscard]] std::size_t entries() const { return header_.entries; }
  // Makes the run whole on disk and gives it its name. `tokens` ascend.
  std::filesystem::path finish(const std::vector<RunToken>& tokens);

 private:
  void flush_block();
  void move_filter_to(std::size_t block);

  std::filesystem::path path_;  // once it is finished
  std::filesystem::path unfinished_;
  std::size_t max_entries_;
  RunHeader header_;
  std::optional<DiskFile> file_;
  std::optional<SectionWriter> blocks_;
  std::optional<SectionWriter> filter_;
  RunBlock block_;
  OrderedEntry last_;
  std::vector<std::uint64_t> index_;
  FilterBlock filter_block_;
  std::size_t filter_at_ = 0;  // which block of the filter is in hand
};

}  // namespace tally::aggregator::dedup
