#include "producer/publish/record_reader.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace tally::producer::publish {
namespace {

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe(ends_), 0); }
  ~Pipe() {
    ::close(ends_[0]);
    close_writer();
  }
  void write(std::string_view text) const {
    EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }
  [[nodiscard]] int reader() const { return ends_[0]; }

 private:
  int ends_[2] = {-1, -1};
};

std::vector<std::string> read_all(const std::vector<std::string>& pieces, std::size_t bound,
                                  std::optional<char> delimiter = std::nullopt) {
  Pipe pipe;
  std::thread writer([&] {
    for (const std::string& piece : pieces) pipe.write(piece);
    pipe.close_writer();
  });
  Input input(pipe.reader());
  RecordReader reader(input, bound, delimiter);
  std::vector<std::string> out;
  Record record;
  std::uint64_t end = 0;
  std::uint64_t line = 1;
  for (bool broken = false; !broken;) {
    const Next read = reader.next(record);
    if (read == Next::kEnd) break;
    // No byte and no line is left out between two records.
    EXPECT_EQ(record.offset, end);
    EXPECT_EQ(record.line, line);
    end = record.end;
    line = record.next_line;
    broken = read == Next::kBroken;
    out.emplace_back(broken                   ? "<broken>"
                     : read == Next::kTooLong ? "<too long>"
                                              : std::string(record.text));
  }
  writer.join();
  return out;
}

using Lines = std::vector<std::string>;

TEST(RecordReader, JoinsPiecesAndKeepsALastLineWithoutLineFeed) {
  EXPECT_EQ(read_all({"on", "e\ntw", "o\n", "\nlast"}, 100), (Lines{"one", "two", "", "last"}));
  EXPECT_EQ(read_all({}, 100), Lines{});
  EXPECT_EQ(read_all({"\n"}, 100), Lines{""});
}

// A number that was cut off was billed.
TEST(RecordReader, LeavesALastLineThatMayGrowYet) {
  for (const auto& [text, lines, left] :
       {std::tuple{"one\ntw", Lines{"one"}, 2U}, std::tuple{"one\n", Lines{"one"}, 0U}}) {
    Pipe pipe;
    pipe.write(text);
    pipe.close_writer();
    Input input(pipe.reader());
    RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
    Lines read;
    Record record;
    while (reader.next(record) == Next::kRecord) read.emplace_back(record.text);
    EXPECT_EQ(read, lines);
    EXPECT_EQ(reader.left_bytes(), left);
  }
}

TEST(RecordReader, PassesOverALineBeyondTheBoundAndGoesOn) {
  const std::string at_bound(100, 'a');
  EXPECT_EQ(read_all({at_bound + "\n" + at_bound + "b\nnext\n"}, 100),
            (Lines{at_bound, "<too long>", "next"}));
  // Longer than the reader's whole buffer, more than once.
  const std::string huge(2'000'000, 'x');
  EXPECT_EQ(read_all({huge + "\nnext\n" + huge}, 100), (Lines{"<too long>", "next", "<too long>"}));
}

TEST(RecordReader, StopsWhileAPipeIsSilent) {
  Pipe pipe;
  pipe.write("half a line");
  Input input(pipe.reader());
  input.keep_waiting([] { return false; });
  RecordReader reader(input, 100, std::nullopt);
  Record record;
  EXPECT_EQ(reader.next(record), Next::kStopped);
}

TEST(RecordReader, StopsBeforeAnybodyWritesToAFifo) {
  const Scratch scratch;
  ASSERT_EQ(::mkfifo(scratch.path("fifo").c_str(), 0600), 0);
  Input input(scratch.path("fifo"));
  input.keep_waiting([] { return false; });
  RecordReader reader(input, 100, std::nullopt);
  Record record;
  EXPECT_EQ(reader.next(record), Next::kStopped);
}

TEST(RecordReader, RowsOfCsvEndOutsideOfQuotesOnly) {
  EXPECT_EQ(read_all({"\xef\xbb", "\xbf\"a\nb\",", "c\r", "\n\"x\"\"\n\"\"y\",z\n\nlast,\"", "q\""},
                     100, ','),
            (Lines{"\xef\xbb\xbf\"a\nb\",c", "\"x\"\"\n\"\"y\",z", "", "last,\"q\""}));
  EXPECT_EQ(read_all({"5\" disk;a\nb;\"1,2\"\n"}, 100, ';'), (Lines{"5\" disk;a", "b;\"1,2\""}));
}

// What a field holds must never be read as a row: where the quotes are wrong, nothing follows.
TEST(RecordReader, WrongQuotesEndTheReading) {
  EXPECT_EQ(read_all({"a,b\n1,\"he said \"x\nid,acme\n"}, 100, ','), (Lines{"a,b", "<broken>"}));
  EXPECT_EQ(read_all({"a,b\n1,\"x\" \nid,acme\n"}, 100, ','), (Lines{"a,b", "<broken>"}));
  EXPECT_EQ(read_all({"a,b\n1,\"x\"\rid,acme\n"}, 100, ','), (Lines{"a,b", "<broken>"}));
  EXPECT_EQ(read_all({"a,b\n1,\"never\nclosed\n"}, 100, ','), (Lines{"a,b", "<broken>"}));
  EXPECT_EQ(read_all({"a,b\n1,\"" + std::string(200, '\n') + "\"\nid,acme\n"}, 100, ','),
            (Lines{"a,b", "<broken>"}));
}

}  // namespace
}  // namespace tally::producer::publish
