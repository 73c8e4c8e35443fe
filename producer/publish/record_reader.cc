#include "producer/publish/record_reader.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace tally::producer::publish {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;

Next next_of(Input::Got got) {
  switch (got) {
    case Input::Got::kNewFile:
      return Next::kNewFile;
    case Input::Got::kStopped:
      return Next::kStopped;
    case Input::Got::kBytes:
    case Input::Got::kEnd:
      break;
  }
  return Next::kEnd;
}

}  // namespace

RecordReader::RecordReader(Input& input, std::size_t max_bytes, std::optional<char> delimiter,
                           LastLine last_line)
    : input_(input),
      file_(input.file()),
      max_bytes_(max_bytes),
      last_line_(last_line),
      buffer_(max_bytes + 1 + kReadBytes, '\0') {
  if (delimiter) edge_.emplace(*delimiter);
}

void RecordReader::go_on_at(std::uint64_t offset, std::uint64_t line) {
  file_ = input_.file();
  begin_ = end_ = 0;
  offset_ = offset;
  line_ = line;
  if (!edge_) return;
  if (offset == 0) {
    edge_->at_file_start();
  } else {
    edge_->at_row_start();
  }
}

Input::Got RecordReader::fill() {
  if (buffer_.size() - end_ < kReadBytes) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  std::size_t bytes = 0;
  const Input::Got got = input_.read(std::span(buffer_).subspan(end_), bytes);
  end_ += bytes;
  return got;
}

// `seen`: bytes from begin_ that were looked at; of kEnd those of the record and its line end.
RecordReader::Look RecordReader::look(std::size_t& seen) {
  const std::string_view unseen =
      std::string_view(buffer_).substr(begin_ + seen, end_ - begin_ - seen);
  if (edge_) {
    std::size_t more = 0;
    const CsvEdge::Found found = edge_->look(unseen, more);
    seen += more;
    if (found == CsvEdge::Found::kBroken) return Look::kBroken;
    return found == CsvEdge::Found::kRowEnd ? Look::kEnd : Look::kMore;
  }
  const std::size_t feed = unseen.find('\n');
  seen += feed == std::string_view::npos ? unseen.size() : feed + 1;
  return feed == std::string_view::npos ? Look::kMore : Look::kEnd;
}

// Hands out `bytes` from begin_, before which the record has `dropped` more.
Next RecordReader::take(std::size_t bytes, std::uint64_t dropped, Record& record) {
  std::string_view text = std::string_view(buffer_).substr(begin_, bytes);
  record.file = file_.get();
  record.offset = offset_ - dropped;
  record.line = line_;
  begin_ += bytes;
  offset_ += bytes;
  line_ += std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')));
  record.end = offset_;
  record.next_line = line_;
  if (text.ends_with('\n')) text.remove_suffix(1);
  const bool too_long = dropped > 0 || text.size() > max_bytes_;
  if (text.ends_with('\r')) text.remove_suffix(1);
  record.text = text;
  return too_long ? Next::kTooLong : Next::kRecord;
}

// What stands behind the last line end of a file.
Next RecordReader::rest(Input::Got got, std::uint64_t dropped, Record& record) {
  const std::size_t left = end_ - begin_;
  const bool is_piece = left > 0 || dropped > 0;
  const bool unclosed = edge_ && edge_->within_quotes();
  if (got == Input::Got::kNewFile) {
    input_.not_taken(dropped + left);
    is_rest_ = (is_piece || is_rest_) && input_.was_emptied();
    if (!is_rest_ || !unclosed) return Next::kNewFile;
    ended_ = true;
    static_cast<void>(take(left, dropped, record));
    return Next::kBroken;
  }
  if (got == Input::Got::kStopped || !is_piece) return next_of(got);
  if (is_rest_ || last_line_ == LastLine::kIsLeft) {
    left_bytes_ = dropped + left;
    return Next::kEnd;
  }
  ended_ = true;
  const Next taken = take(left, dropped, record);
  return unclosed ? Next::kBroken : taken;
}

// Up to the first line end of a file that was emptied within a line.
Next RecordReader::pass_over(std::size_t bytes, std::uint64_t dropped, Record& record) {
  is_rest_ = false;
  static_cast<void>(take(bytes, dropped, record));
  input_.rest_not_taken(record.end);
  return Next::kNewFile;
}

Next RecordReader::next(Record& record) {
  if (ended_) return Next::kEnd;
  std::size_t seen = 0;
  std::uint64_t dropped = 0;
  for (;;) {
    const Look looked = look(seen);
    if (looked == Look::kEnd) {
      if (is_rest_) return pass_over(seen, dropped, record);
      const Next taken = take(seen, dropped, record);
      // Whether its end was in the buffer by chance must change nothing.
      return edge_ && taken == Next::kTooLong ? Next::kBroken : taken;
    }
    const bool beyond = seen > max_bytes_;
    if (looked == Look::kBroken || (beyond && edge_)) {
      static_cast<void>(take(seen, 0, record));
      return Next::kBroken;
    }
    if (beyond) {
      dropped += seen;
      offset_ += seen;
      begin_ = end_;
      seen = 0;
    }
    const Input::Got got = fill();
    if (got == Input::Got::kBytes) continue;
    const Next told = rest(got, dropped, record);
    if (told != Next::kNewFile) return told;
    go_on_at(0, 1);
    record = {};
    if (!is_rest_) return told;
    seen = 0;
    dropped = 0;
  }
}

}  // namespace tally::producer::publish
