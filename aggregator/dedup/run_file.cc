#include "aggregator/dedup/run_file.h"

#include <algorithm>

namespace tally::aggregator::dedup {

void RunFile::broken(const char* what) const {
  throw DiskFailure("run " + file_.path().string() + ": " + what);
}

RunFile::RunFile(const std::filesystem::path& path, const RunOwner& owner)
    : file_(DiskFile::open(path)) {
  file_.read(std::as_writable_bytes(std::span(&header_, 1)), 0);
  check_header(owner);
  index_.resize(header_.index.count);
  read_section(header_.index, std::as_writable_bytes(std::span(index_)));
  filter_ = Filter(header_.filter.count);
  read_section(header_.filter, std::as_writable_bytes(std::span(filter_.blocks(), filter_.size())));
  static_cast<void>(tokens());
}

void RunFile::check_header(const RunOwner& owner) const {
  if (header_.magic != kRunMagic || header_.version != kRunVersion) broken("not of this format");
  if (header_.checksum != page_checksum(header_, header_.salt)) broken("its header is damaged");
  if (owner != RunOwner{header_.deployment, header_.generation,
                        static_cast<std::int32_t>(header_.partition)}) {
    broken("it belongs to another deployment, partition or generation");
  }
  if (file_.size() != header_.file_bytes) broken("its size is not the one written");
  if (header_.entries == 0 || header_.index.count != header_.blocks.count) broken("it is empty");
}

void RunFile::read_section(const RunSection& section, std::span<std::byte> bytes) const {
  std::uint64_t offset = section.offset_bytes;
  std::uint64_t checksum = header_.salt;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kSectionPieceBytes));
    file_.read(piece, offset);
    checksum = checksum_of(piece, checksum);
    offset += piece.size();
    bytes = bytes.subspan(piece.size());
  }
  if (checksum != section.checksum) broken("a section is damaged");
}

std::vector<RunToken> RunFile::tokens() const {
  std::vector<RunToken> tokens(header_.tokens.count);
  read_section(header_.tokens, std::as_writable_bytes(std::span(tokens)));
  return tokens;
}

std::size_t RunFile::entries_since(LogDay first) const {
  std::size_t entries = 0;
  for (LogDay i = 0; i < kDayMarks; ++i) {
    if (header_.first_day + i >= first) {
      entries += header_.entries_of_day[static_cast<std::size_t>(i)];
    }
  }
  return entries;
}

void RunFile::read_blocks(std::size_t first, std::span<RunBlock> blocks) const {
  file_.read(std::as_writable_bytes(blocks),
             header_.blocks.offset_bytes + first * sizeof(RunBlock));
  for (const RunBlock& block : blocks) {
    const bool whole = block.checksum == page_checksum(block, header_.salt) &&
                       block.number == first++ && block.count > 0 &&
                       block.count <= RunBlock::kCapacity;
    if (!whole) broken("a block is damaged");
  }
}

std::optional<DatedEntry> RunFile::find(const OrderedEntry& entry) const {
  // Entries of one key may lie on both sides of a border: the last block that begins before it, and
  // those that begin with it.
  const auto from = std::lower_bound(index_.begin(), index_.end(), entry.key);
  auto number = static_cast<std::size_t>(from - index_.begin());
  if (number > 0) --number;
  for (; number < index_.size() && index_[number] <= entry.key; ++number) {
    RunBlock block;
    read_blocks(number, std::span(&block, 1));
    const auto end = block.entries.begin() + block.count;
    const auto found =
        std::lower_bound(block.entries.begin(), end, entry,
                         [](const OrderedEntry& a, const OrderedEntry& b) { return a.before(b); });
    if (found == end) continue;
    if (!found->same_identity(entry)) return std::nullopt;
    return DatedEntry{*found,
                      day_in(block, static_cast<std::size_t>(found - block.entries.begin()))};
  }
  return std::nullopt;
}

RunCursor::RunCursor(const RunFile& run) : run_(run) { fill(); }

void RunCursor::fill() {
  count_ = std::min(kBlocksAtOnce, run_.blocks() - next_block_);
  at_ = 0;
  at_in_block_ = 0;
  blocks_.resize(count_);
  if (count_ == 0) return;
  run_.read_blocks(next_block_, blocks_);
  next_block_ += count_;
}

void RunCursor::next() {
  if (++at_in_block_ < block().count) return;
  at_in_block_ = 0;
  if (++at_ == count_) fill();
}

}  // namespace tally::aggregator::dedup
