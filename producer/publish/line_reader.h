// Lines of a file or a pipe, one at a time, within a fixed buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tally::producer::publish {

enum class ReadLine {
  kLine,
  kTooLong,  // longer than the bound; it has been passed over
  kEnd,
  kStopped,  // the stop was asked for while waiting for input
};

// One thread. Reads, and does not close, the descriptor.
class LineReader {
 public:
  // `stopping` is asked ten times a second while a pipe is silent.
  LineReader(int descriptor, std::size_t max_line_bytes, std::function<bool()> stopping);
  // `line` (without its line feed; a last line needs none) is valid until the next call. Throws
  // std::system_error when reading fails.
  [[nodiscard]] ReadLine next(std::string_view& line);
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  enum class Fill { kMore, kEnd, kStopped };
  Fill fill();
  int descriptor_;
  std::size_t max_line_bytes_;
  std::function<bool()> stopping_;
  std::string buffer_;
  std::size_t begin_ = 0;  // buffer_[begin_, end_) has been read and not handed out
  std::size_t end_ = 0;
  bool at_end_ = false;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace tally::producer::publish
