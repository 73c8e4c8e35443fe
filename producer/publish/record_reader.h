// Records of an input, one at a time, within a fixed buffer: lines, or rows of CSV.
#pragma once

#include "producer/publish/csv.h"
#include "producer/publish/input.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tally::producer::publish {

struct Record {
  std::string_view text;           // without its line end
  std::uint64_t offset = 0;        // of its first byte in the file
  std::uint64_t end = 0;           // past its line end
  std::uint64_t line = 1;          // of its first line, from 1
  std::uint64_t next_line = 1;     // of what follows
  const FileMark* file = nullptr;  // that it stands in
};

enum class Next {
  kRecord,
  kTooLong,  // longer than the bound; it has been passed over
  kBroken,   // CSV: a quote out of place or never closed, or a row beyond the bound; nothing after
             // it can be read
  kNewFile,  // the input goes on with another file, where the record says
  kEnd,
  kStopped,  // the input was told to wait no longer
};

// What stands behind the last line end of an input that ends. Where the input goes on with another
// file it is never a record, for a number may be cut off there, nor is, where the file was emptied,
// what follows up to the first line end: Input counts both among late_bytes().
enum class LastLine {
  kIsRecord,  // of an input that is known to be complete
  kIsLeft,    // whoever writes may not be done with it
};

// One thread.
class RecordReader {
 public:
  // `delimiter`: of CSV; nullopt reads lines.
  RecordReader(Input& input, std::size_t max_bytes, std::optional<char> delimiter,
               LastLine last_line = LastLine::kIsRecord);
  // `record.text` is valid until the next call. The places are told of kTooLong and kBroken, too;
  // of kNewFile that behind what is passed over. After kStopped, kEnd and kBroken it is not called
  // again. Throws std::system_error when reading fails.
  [[nodiscard]] Next next(Record& record);
  // The next record is the one at that place of the input's file, which the caller moved there.
  void go_on_at(std::uint64_t offset, std::uint64_t line);
  // Bytes behind the last line end that were left (kIsLeft), once next() told kEnd.
  [[nodiscard]] std::uint64_t left_bytes() const { return left_bytes_; }
  // Of the last record.
  [[nodiscard]] const std::shared_ptr<const FileMark>& file() const { return file_; }

 private:
  // How a look for the record's end within what was read went.
  enum class Look { kMore, kEnd, kBroken };
  Look look(std::size_t& seen);
  Next take(std::size_t bytes, std::uint64_t dropped, Record& record);
  Next rest(Input::Got got, std::uint64_t dropped, Record& record);
  Next pass_over(std::size_t bytes, std::uint64_t dropped, Record& record);
  Input::Got fill();

  Input& input_;
  std::shared_ptr<const FileMark> file_;
  std::size_t max_bytes_;
  LastLine last_line_;
  std::uint64_t left_bytes_ = 0;
  std::optional<CsvEdge> edge_;
  std::string buffer_;
  std::size_t begin_ = 0;  // buffer_[begin_, end_) has been read and not handed out
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;  // of begin_ in the file
  std::uint64_t line_ = 1;
  bool ended_ = false;    // the last record was handed out
  bool is_rest_ = false;  // what comes next may be the rest of a line that an emptying cut
};

}  // namespace tally::producer::publish
