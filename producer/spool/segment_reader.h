// Reads the whole frames of one segment from front to back and steps over what is damaged: a frame
// whose body is wrong by its length, anything else byte by byte to the next frame that holds. It
// does not count what it stepped over: the sequences that are missing do that.
//
// One thread; the segment may grow meanwhile.
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/format.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tally::producer::spool {

// The views are valid until the next call.
struct Record {
  std::uint64_t sequence = 0;
  std::uint64_t at_ms = 0;
  std::uint64_t end_offset = 0;
  std::uint16_t place = 0;
  std::string_view key;
  std::string_view value;
};

class SegmentReader {
 public:
  // Yields only what `spool` wrote as segment `number`.
  SegmentReader(std::unique_ptr<File> file, const SpoolId& spool, std::uint64_t number);

  // The next whole frame with a sequence in [first, bound) among the bytes before `end`. nullopt:
  // there is none; a frame that is cut off by `end` is looked at again when `end` has moved on.
  // Throws FileFailure.
  [[nodiscard]] std::optional<Record> next(std::uint64_t first, std::uint64_t bound,
                                           std::uint64_t end);
  // Blocks that cannot be read are damage from now on.
  void step_over_unreadable() { is_stepping_over_ = true; }

 private:
  [[nodiscard]] std::size_t read(std::span<char> bytes, std::uint64_t offset) const;
  // Whether so many bytes from offset_ on lie in the buffer.
  bool fill(std::size_t bytes, std::uint64_t end);
  // Moves on to a byte at which a frame's header holds.
  bool find_frame(std::uint64_t end);
  [[nodiscard]] const char* here() const { return buffer_.data() + (offset_ - buffer_offset_); }

  std::unique_ptr<File> file_;
  std::uint64_t body_key_;
  std::uint64_t frame_key_;
  std::uint64_t offset_ = kSegmentHeaderBytes;
  std::uint64_t buffer_offset_ = 0;
  std::string buffer_;
  bool is_stepping_over_ = false;
};

}  // namespace tally::producer::spool
