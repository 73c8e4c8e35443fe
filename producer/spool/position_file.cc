#include "producer/spool/position_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

namespace tally::producer::spool {
namespace {

bool is_there(const Folder& folder) {
  const auto names = folder.names();
  return std::find(names.begin(), names.end(), PositionFile::kName) != names.end();
}

}  // namespace

core::Result<std::optional<PositionSlot>> PositionFile::load(Folder& folder) {
  std::optional<PositionSlot> latest;
  if (!is_there(folder)) return latest;
  const auto file = folder.open(kName);
  for (std::uint64_t i = 0; i < 2; ++i) {
    std::array<char, kPositionSlotBytes> bytes{};
    const std::size_t got = file->read(bytes, i * kPositionSlotStride);
    PositionSlot slot;
    std::uint32_t version = 0;
    const Look look = decode(std::string_view(bytes.data(), got), slot, version);
    if (look == Look::kOtherVersion) {
      return core::invalid(fmt::format(
          "spool folder {}: {} is of format version {}, this program reads version {}; empty the "
          "spool with the program that wrote it, or name another folder",
          folder.path(), kName, version, kFormatVersion));
    }
    if (look == Look::kGood && (!latest || slot.turn > latest->turn)) latest = slot;
  }
  return latest;
}

PositionFile::PositionFile(Folder& folder, const PositionSlot& last)
    : folder_(folder), last_(last) {
  if (is_there(folder_)) {
    file_ = folder_.open_for_writing(kName);
    return;
  }
  begin(last_);
}

void PositionFile::begin(const PositionSlot& first) {
  file_ = folder_.create(kName);
  // Both at once: from here on storing asks the disk for no more room.
  const std::string slot = encode(first);
  file_->write(slot, (first.turn % 2) * kPositionSlotStride);
  file_->write(slot, ((first.turn + 1) % 2) * kPositionSlotStride);
  file_->sync();
  folder_.sync();
}

void PositionFile::store(const Position& position) {
  PositionSlot next = last_;
  ++next.turn;
  next.position = position;
  try {
    file_->write(encode(next), (next.turn % 2) * kPositionSlotStride);
    file_->sync();
  } catch (const FileFailure& failure) {
    if (failure.trouble() != Trouble::kGone) throw;
    begin(next);
  }
  // Only now: after a failure the same slot is written again, for the other one is the good one.
  last_ = next;
}

}  // namespace tally::producer::spool
