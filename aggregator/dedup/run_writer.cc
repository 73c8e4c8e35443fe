#include "aggregator/dedup/run_writer.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <system_error>

namespace tally::aggregator::dedup {
namespace {

std::uint64_t salt_of(const SegmentToken& token) {
  std::uint64_t salt = 0;
  std::memcpy(&salt, token.bytes.data(), sizeof(salt));
  return salt;
}

std::size_t blocks_for(std::size_t entries) {
  return (entries + RunBlock::kCapacity - 1) / RunBlock::kCapacity;
}

template <class Items>
void append_all(SectionWriter& section, const Items& items) {
  section.append(std::as_bytes(std::span(items)));
}

}  // namespace

SectionWriter::SectionWriter(const DiskFile& file, std::uint64_t offset_bytes, std::uint64_t salt)
    : file_(file), offset_bytes_(offset_bytes), checksum_(salt) {
  piece_.reserve(kSectionPieceBytes);
}

void SectionWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t fits = std::min(bytes.size(), kSectionPieceBytes - piece_.size());
    piece_.insert(piece_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
    bytes = bytes.subspan(fits);
    if (piece_.size() == kSectionPieceBytes) flush();
  }
}

void SectionWriter::flush() {
  if (piece_.empty()) return;
  checksum_ = checksum_of(piece_, checksum_);
  file_.write(piece_, offset_bytes_);
  offset_bytes_ += piece_.size();
  piece_.clear();
}

RunWriter::RunWriter(const std::filesystem::path& folder, const RunOwner& owner,
                     const SegmentToken& token, std::size_t max_entries, LogDay newest_day)
    : max_entries_(max_entries) {
  header_.first_day = newest_day - (kDayMarks - 1);
  header_.deployment = owner.deployment;
  header_.generation = owner.generation;
  header_.partition = owner.partition;
  header_.salt = salt_of(token);
  const std::string name = fmt::format("{:016x}", header_.salt);
  path_ = folder / (name + kRunSuffix);
  unfinished_ = folder / (name + kUnfinishedSuffix);
  file_.emplace(DiskFile::create(unfinished_));

  const std::size_t most_blocks = blocks_for(max_entries);
  header_.blocks.offset_bytes = sizeof(RunHeader);
  header_.index.offset_bytes = sizeof(RunHeader) + most_blocks * sizeof(RunBlock);
  header_.filter.offset_bytes =
      header_.index.offset_bytes +
      (most_blocks * sizeof(std::uint64_t) + kRunPageBytes - 1) / kRunPageBytes * kRunPageBytes;
  header_.filter.count = filter_blocks_for(max_entries);
  blocks_.emplace(*file_, header_.blocks.offset_bytes, header_.salt);
  filter_.emplace(*file_, header_.filter.offset_bytes, header_.salt);
  index_.reserve(most_blocks);
}

RunWriter::~RunWriter() {
  std::error_code ignored;  // what is left is removed when the memory is next opened
  if (!unfinished_.empty()) std::filesystem::remove(unfinished_, ignored);
}

void RunWriter::add(const OrderedEntry& entry, LogDay day) {
  TALLY_CHECK(header_.entries < max_entries_, "more than {} entries", max_entries_);
  TALLY_CHECK(header_.entries == 0 || last_.before(entry), "a run's entries ascend");
  TALLY_CHECK(day >= header_.first_day && day < header_.first_day + kDayMarks,
              "day {} in a run from day {}", day, header_.first_day);
  if (block_.count == RunBlock::kCapacity) flush_block();
  const auto since = static_cast<std::uint8_t>(day - header_.first_day);
  if (block_.count == 0) index_.push_back(entry.key);
  block_.entries[block_.count] = entry;
  block_.days[block_.count] = since;
  ++block_.count;
  last_ = entry;
  ++header_.entries;
  ++header_.entries_of_day[since];

  const FilterProbe probe(entry, header_.filter.count);
  move_filter_to(probe.block());
  filter_block_.add(probe);
}

void RunWriter::flush_block() {
  if (block_.count == 0) return;
  block_.checksum = page_checksum(block_, header_.salt);
  blocks_->append(std::as_bytes(std::span(&block_, 1)));
  ++header_.blocks.count;
  const auto next = static_cast<std::uint32_t>(header_.blocks.count);
  block_ = {};
  block_.number = next;
}

void RunWriter::move_filter_to(std::size_t block) {
  for (; filter_at_ < block; ++filter_at_) {
    append_all(*filter_, filter_block_.words);
    filter_block_ = {};
  }
}

std::filesystem::path RunWriter::finish(const std::vector<RunToken>& tokens) {
  TALLY_CHECK(std::is_sorted(tokens.begin(), tokens.end()));
  flush_block();
  blocks_->flush();
  move_filter_to(header_.filter.count);
  filter_->flush();
  header_.filter.checksum = filter_->checksum();

  SectionWriter index(*file_, header_.index.offset_bytes, header_.salt);
  append_all(index, index_);
  index.flush();
  header_.index.count = index_.size();
  header_.index.checksum = index.checksum();
  TALLY_CHECK(header_.index.count == header_.blocks.count);

  header_.tokens.offset_bytes = filter_->end_bytes();
  header_.tokens.count = tokens.size();
  SectionWriter token_section(*file_, header_.tokens.offset_bytes, header_.salt);
  append_all(token_section, tokens);
  token_section.flush();
  header_.tokens.checksum = token_section.checksum();

  header_.file_bytes = token_section.end_bytes();
  header_.checksum = page_checksum(header_, header_.salt);
  file_->write(std::as_bytes(std::span(&header_, 1)), 0);
  file_->sync();
  std::error_code error;
  std::filesystem::rename(unfinished_, path_, error);
  if (error) throw DiskFailure("name " + path_.string() + ": " + error.message());
  unfinished_.clear();
  sync_folder(path_.parent_path());
  return path_;
}

}  // namespace tally::aggregator::dedup
