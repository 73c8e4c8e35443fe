#include "producer/publish/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace tally::producer::publish {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kPollMs = 100;

}  // namespace

LineReader::LineReader(int descriptor, std::size_t max_line_bytes, std::function<bool()> stopping)
    : descriptor_(descriptor),
      max_line_bytes_(max_line_bytes),
      stopping_(std::move(stopping)),
      buffer_(max_line_bytes + 1 + kReadBytes, '\0') {}

LineReader::Fill LineReader::fill() {
  if (at_end_) return Fill::kEnd;
  if (buffer_.size() - end_ < kReadBytes) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  for (;;) {
    pollfd wait{descriptor_, POLLIN, 0};
    const int ready = poll(&wait, 1, kPollMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (stopping_()) return Fill::kStopped;
      continue;
    }
    const ssize_t got = read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), "reading failed");
    if (got == 0) {
      at_end_ = true;
      return Fill::kEnd;
    }
    end_ += static_cast<std::size_t>(got);
    bytes_read_ += static_cast<std::uint64_t>(got);
    return Fill::kMore;
  }
}

ReadLine LineReader::next(std::string_view& line) {
  std::size_t seen = 0;  // bytes from begin_ known to hold no line feed
  bool too_long = false;
  for (;;) {
    const char* from = buffer_.data() + begin_ + seen;
    const void* feed = std::memchr(from, '\n', end_ - begin_ - seen);
    if (feed != nullptr) {
      const auto size = static_cast<std::size_t>(static_cast<const char*>(feed) - buffer_.data());
      line = std::string_view(buffer_).substr(begin_, size - begin_);
      begin_ = size + 1;
      return too_long || line.size() > max_line_bytes_ ? ReadLine::kTooLong : ReadLine::kLine;
    }
    seen = end_ - begin_;
    if (seen > max_line_bytes_) {
      too_long = true;
      begin_ = end_;
      seen = 0;
    }
    const Fill filled = fill();
    if (filled == Fill::kStopped) return ReadLine::kStopped;
    if (filled == Fill::kEnd) {
      if (too_long) {
        begin_ = end_;
        return ReadLine::kTooLong;
      }
      if (begin_ == end_) return ReadLine::kEnd;
      line = std::string_view(buffer_).substr(begin_, end_ - begin_);
      begin_ = end_;
      return ReadLine::kLine;
    }
  }
}

}  // namespace tally::producer::publish
