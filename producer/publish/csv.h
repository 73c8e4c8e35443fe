// CSV as RFC 4180 says: fields in quotes may hold the delimiter, line ends and doubled quotes; rows
// end with LF or CRLF; a byte order mark before the first row is passed over.
//
// Where a quoted field is followed by anything but a delimiter or a line end, nothing tells any
// more which line end is a row's: what comes behind could be text of a field, read as rows. So that
// is no bad row but the end of reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::publish {

// Finds the ends of rows, piece by piece. One thread.
class CsvEdge {
 public:
  enum class Found : std::uint8_t { kMore, kRowEnd, kBroken };

  explicit CsvEdge(char delimiter) : delimiter_(delimiter) {}
  // Goes on with the bytes that follow those seen so far. kRowEnd: `seen` of them, the line feed
  // included, end the row, and the next one begins. kMore: all were seen. kBroken: for good.
  [[nodiscard]] Found look(std::string_view bytes, std::size_t& seen);
  // Whether the input, if it ended here, would end within quotes.
  [[nodiscard]] bool within_quotes() const { return state_ == State::kQuoted; }
  // As before the first byte of a file, or before the first of a later row.
  void at_file_start() { state_ = State::kFileStart; }
  void at_row_start() { state_ = State::kFieldStart; }

 private:
  enum class State : std::uint8_t {
    kFileStart,
    kMark1,  // of the byte order mark, so many bytes were seen
    kMark2,
    kFieldStart,
    kPlain,
    kQuoted,
    kAfterQuote,  // a quote within quotes: doubled, or the closing one
    kAfterReturn  // a carriage return behind the closing one
  };
  [[nodiscard]] State after(char c) const;
  [[nodiscard]] State after_plain(char c) const;

  char delimiter_;
  State state_ = State::kFileStart;
};

// A row's fields; the views are into the row or into `room`, and live as long as both.
struct CsvRow {
  std::vector<std::string_view> fields;
  std::string room;
};

// Splits a row without its line end, as CsvEdge found it. nullopt, or the number of the field
// (from 0) in which a quote stands that is neither doubled nor around the field, or that is never
// closed.
[[nodiscard]] std::optional<std::size_t> split_csv(std::string_view row, char delimiter,
                                                   CsvRow& out);

// The row without a byte order mark.
[[nodiscard]] std::string_view without_mark(std::string_view row);

}  // namespace tally::producer::publish
