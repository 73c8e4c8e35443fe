#include "producer/spool/recovery.h"

#include "producer/spool/position_file.h"
#include "producer/spool/segment_reader.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

namespace tally::producer::spool {
namespace {

constexpr std::uint64_t kNoBound = std::numeric_limits<std::uint64_t>::max();

class Recovery {
 public:
  Recovery(Folder& folder, const SpoolId& fresh) : folder_(folder), fresh_(fresh) {}
  core::Result<Recovered> run();

 private:
  struct Found {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
    Look look = Look::kDamaged;
    SegmentHeader header;
  };

  // The newest segment, to its last whole frame.
  struct Scan {
    std::uint64_t end_sequence = 0;
    std::uint64_t end_offset = 0;             // 0: it holds no frame
    std::uint64_t write_sequence = kNoBound;  // where the last write begins
    std::uint64_t write_offset = 0;
    std::uint64_t torn_begin = 0;  // what is missing within the last write
    std::uint64_t torn_end = 0;
  };

  core::Result<std::vector<Found>> find_segments();
  core::Result<bool> settle_spool(const std::vector<Found>& found, bool has_position);
  // Where the segment's records begin; nullopt: it has none.
  std::optional<std::uint64_t> first_sequence(const Found& found);
  void take(const Found& found);
  void cut_newest();
  [[nodiscard]] Scan scan_newest(const Segment& newest);
  void mark_torn(const Scan& scan);
  void write_again(const Segment& newest, std::uint64_t offset);
  void settle_sequences(bool has_position);
  void remove(std::uint64_t number);

  Folder& folder_;
  SpoolId fresh_;
  Recovered out_;
  std::uint64_t floor_ = 0;  // sequences below were given away, by segments that are gone
};

core::Result<std::vector<Recovery::Found>> Recovery::find_segments() {
  std::vector<Found> all;
  for (const std::string& name : folder_.names()) {
    const auto number = segment_number(name);
    if (!number) continue;
    const auto file = folder_.open(name);
    std::array<char, kSegmentHeaderBytes> bytes{};
    const std::size_t got = file->read(bytes, 0);
    Found found{.number = *number, .bytes = file->size(), .look = Look::kDamaged, .header = {}};
    std::uint32_t version = 0;
    found.look = decode(std::string_view(bytes.data(), got), found.header, version);
    if (found.look == Look::kOtherVersion) {
      return core::invalid(fmt::format(
          "spool folder {}: {} is of format version {}, this program reads version {}; empty the "
          "spool with the program that wrote it, or name another folder",
          folder_.path(), name, version, kFormatVersion));
    }
    all.push_back(found);
    out_.next_number = std::max(out_.next_number, *number + 1);
  }
  std::sort(all.begin(), all.end(),
            [](const Found& a, const Found& b) { return a.number < b.number; });
  return all;
}

core::Result<bool> Recovery::settle_spool(const std::vector<Found>& found, bool has_position) {
  bool known = has_position;
  if (known) out_.spool = out_.slot.spool;
  for (const Found& segment : found) {
    if (segment.look != Look::kGood) continue;
    if (!known) out_.spool = segment.header.spool;
    known = true;
    if (segment.header.spool != out_.spool || segment.header.number != segment.number) {
      return core::invalid(fmt::format(
          "spool folder {}: {} belongs to another spool, or was renamed; one folder holds one "
          "spool: move the file to a folder of its own, with the position file it came with",
          folder_.path(), segment_name(segment.number)));
    }
  }
  const bool lost = std::any_of(found.begin(), found.end(), [](const Found& segment) {
    return segment.bytes > kSegmentHeaderBytes;
  });
  if (!known && lost) {
    return core::invalid(fmt::format(
        "spool folder {}: the position file and the header of every segment are damaged, so that "
        "nothing in it can be told from garbage; restore it or name another folder",
        folder_.path()));
  }
  if (!known) out_.spool = fresh_;
  out_.slot.spool = out_.spool;
  return true;
}

std::optional<std::uint64_t> Recovery::first_sequence(const Found& found) {
  if (found.look == Look::kGood) return found.header.first_sequence;
  SegmentReader reader(folder_.open(segment_name(found.number)), out_.spool, found.number);
  const auto record = reader.next(0, kNoBound, found.bytes);
  if (!record) return std::nullopt;
  return record->sequence - record->place;  // where the write of the first that is left began
}

void Recovery::remove(std::uint64_t number) { folder_.remove(segment_name(number)); }

void Recovery::take(const Found& found) {
  const auto first = first_sequence(found);
  if (!first) {
    out_.cut_bytes += found.bytes;
    if (found.bytes > kSegmentHeaderBytes) {
      runtime::log::error("spool_segment_lost", {{"segment", segment_name(found.number)},
                                                 {"folder", folder_.path()},
                                                 {"bytes", found.bytes}});
    }
    remove(found.number);
    return;
  }
  if (found.look == Look::kDamaged) {
    runtime::log::error("spool_header_damaged", {{"segment", segment_name(found.number)}});
  }
  // What an abandoned segment holds from here on was written anew into this one.
  auto& segments = out_.segments;
  while (!segments.empty() && segments.back().first_sequence >= *first) {
    remove(segments.back().number);
    segments.pop_back();
  }
  if (!segments.empty()) segments.back().end_sequence = *first;
  segments.push_back({.number = found.number,
                      .first_sequence = *first,
                      .end_sequence = *first,
                      .bytes = found.bytes});
}

void Recovery::cut_newest() {
  while (!out_.segments.empty()) {
    Segment& newest = out_.segments.back();
    const Scan scan = scan_newest(newest);
    floor_ = std::max(floor_, newest.first_sequence);
    if (scan.end_offset == 0) {
      out_.cut_bytes += newest.bytes - std::min<std::uint64_t>(newest.bytes, kSegmentHeaderBytes);
      remove(newest.number);
      out_.segments.pop_back();
      continue;
    }
    out_.cut_bytes += newest.bytes - scan.end_offset;
    newest.bytes = scan.end_offset;
    newest.end_sequence = scan.end_sequence;
    mark_torn(scan);
    write_again(newest, scan.write_offset);
    return;
  }
}

Recovery::Scan Recovery::scan_newest(const Segment& newest) {
  SegmentReader reader(folder_.open(segment_name(newest.number)), out_.spool, newest.number);
  Scan scan;
  scan.end_sequence = newest.first_sequence;
  while (const auto record = reader.next(scan.end_sequence, kNoBound, newest.bytes)) {
    const std::uint64_t write = record->sequence - record->place;
    if (write != scan.write_sequence) {
      scan.write_sequence = write;
      scan.write_offset = scan.end_offset;
      scan.torn_begin = scan.torn_end = 0;
    }
    if (record->sequence > scan.end_sequence) {
      if (scan.torn_end == 0) scan.torn_begin = std::max(scan.end_sequence, write);
      scan.torn_end = record->sequence;
    }
    scan.end_sequence = record->sequence + 1;
    scan.end_offset = record->end_offset;
  }
  return scan;
}

void Recovery::mark_torn(const Scan& scan) {
  Position& position = out_.slot.position;
  const std::uint64_t begin = std::max({scan.torn_begin, position.kept, floor_});
  if (begin >= scan.torn_end) return;
  // One range is remembered: it grows when two crashes tear before the first is read.
  const bool is_over = position.torn_end <= position.acked;
  position.torn_begin = is_over ? begin : std::min(position.torn_begin, begin);
  position.torn_end = std::max(position.torn_end, scan.torn_end);
}

// The last write may stand in the page cache alone, after an fsync that failed: then another fsync
// would say nothing of it. So its bytes are written again, onto themselves.
void Recovery::write_again(const Segment& newest, std::uint64_t offset) {
  const auto file = folder_.open_for_writing(segment_name(newest.number));
  std::string bytes(newest.bytes - offset, '\0');
  bytes.resize(file->read(bytes, offset));
  file->write(bytes, offset);
  file->truncate(newest.bytes);
  file->sync();
}

void Recovery::settle_sequences(bool has_position) {
  Position& position = out_.slot.position;
  auto& segments = out_.segments;
  const std::uint64_t end = segments.empty() ? position.acked : segments.back().end_sequence;
  if (!has_position && !segments.empty()) position.acked = segments.front().first_sequence;
  if (position.kept > end) {
    runtime::log::error(
        "spool_tail_lost",
        {{"records", position.kept - std::max(end, position.acked)}, {"folder", folder_.path()}});
  }
  out_.next_sequence = std::max({end, floor_, position.acked, position.kept});
  position.kept = out_.next_sequence;
}

core::Result<Recovered> Recovery::run() {
  const auto slot = PositionFile::load(folder_);
  if (!slot) return slot.error();
  const bool has_position = slot.value().has_value();
  if (has_position) out_.slot = *slot.value();
  const auto found = find_segments();
  if (!found) return found.error();
  const auto settled = settle_spool(found.value(), has_position);
  if (!settled) return settled.error();
  for (const Found& segment : found.value()) take(segment);
  cut_newest();
  settle_sequences(has_position);
  folder_.sync();
  if (out_.cut_bytes > 0) {
    runtime::log::warn("spool_tail_cut", {{"bytes", out_.cut_bytes}, {"folder", folder_.path()}});
  }
  return std::move(out_);
}

}  // namespace

core::Result<Recovered> recover(Folder& folder, const SpoolId& fresh) {
  return Recovery(folder, fresh).run();
}

}  // namespace tally::producer::spool
