#include "producer/spool/segment_reader.h"

#include "core/limits.h"

#include <algorithm>

namespace tally::producer::spool {
namespace {

constexpr std::size_t kChunkBytes = 512UL * 1024;
constexpr std::size_t kBlockBytes = 4096;  // what a disk gives up at once, mostly

// A cheap look before the check is computed: a search goes byte by byte.
bool plausible(const FrameHeader& header) {
  return header.key_bytes <= core::kMaxRequestIdBytes &&
         header.value_bytes <= core::kMaxRecordBytes;
}

}  // namespace

SegmentReader::SegmentReader(std::unique_ptr<File> file, const SpoolId& spool, std::uint64_t number)
    : file_(std::move(file)), body_key_(body_key(spool)), frame_key_(frame_key(spool, number)) {}

std::size_t SegmentReader::read(std::span<char> bytes, std::uint64_t offset) const {
  try {
    return file_->read(bytes, offset);
  } catch (const FileFailure&) {
    if (!is_stepping_over_) throw;
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t at = offset + done;
    const std::size_t wanted =
        std::min<std::size_t>(kBlockBytes - at % kBlockBytes, bytes.size() - done);
    const auto block = bytes.subspan(done, wanted);
    std::size_t got = wanted;
    try {
      got = file_->read(block, at);
    } catch (const FileFailure&) {
      std::fill(block.begin(), block.end(), '\0');  // no frame
    }
    done += got;
    if (got < wanted) break;
  }
  return done;
}

bool SegmentReader::fill(std::size_t bytes, std::uint64_t end) {
  if (offset_ + bytes > end) return false;
  const std::uint64_t buffered_end = buffer_offset_ + buffer_.size();
  if (offset_ >= buffer_offset_ && offset_ + bytes <= buffered_end) return true;
  // Keeps what is there of the frame, so that no byte is read twice.
  std::size_t kept = 0;
  if (offset_ >= buffer_offset_ && offset_ < buffered_end) {
    kept = static_cast<std::size_t>(buffered_end - offset_);
    buffer_.erase(0, buffer_.size() - kept);
  } else {
    buffer_.clear();
  }
  buffer_offset_ = offset_;
  const std::uint64_t wanted = std::min<std::uint64_t>(std::max(bytes, kChunkBytes), end - offset_);
  buffer_.resize(static_cast<std::size_t>(wanted));
  std::size_t got = 0;
  try {
    got = read(std::span(buffer_).subspan(kept), buffer_offset_ + kept);
  } catch (const FileFailure&) {
    buffer_.resize(kept);  // what was not read is not there: the next call reads it
    throw;
  }
  buffer_.resize(kept + got);
  return buffer_.size() >= bytes;
}

bool SegmentReader::find_frame(std::uint64_t end) {
  while (fill(kFrameHeaderBytes, end)) {
    if (plausible(load_frame(here())) && header_holds(here(), frame_key_)) return true;
    ++offset_;
  }
  return false;
}

std::optional<Record> SegmentReader::next(std::uint64_t first, std::uint64_t bound,
                                          std::uint64_t end) {
  while (find_frame(end)) {
    const FrameHeader header = load_frame(here());
    const std::size_t bytes = header.frame_bytes();
    if (!fill(bytes, end)) {
      // The file may end before its own size says so only when somebody cut it under us.
      return std::nullopt;
    }
    const std::string_view body(here() + kFrameHeaderBytes, bytes - kFrameHeaderBytes);
    offset_ += bytes;
    if (header.sequence < first || !body_holds(header, body, body_key_)) continue;
    if (header.sequence >= bound) return std::nullopt;
    return Record{header.sequence,
                  header.at_ms,
                  offset_,
                  header.place,
                  body.substr(0, header.key_bytes),
                  body.substr(header.key_bytes)};
  }
  return std::nullopt;
}

}  // namespace tally::producer::spool
