#include "producer/publish/line_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
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

std::vector<std::string> read_all(const std::vector<std::string>& pieces, std::size_t bound) {
  Pipe pipe;
  std::thread writer([&] {
    for (const std::string& piece : pieces) pipe.write(piece);
    pipe.close_writer();
  });
  LineReader reader(pipe.reader(), bound, [] { return false; });
  std::vector<std::string> out;
  std::string_view line;
  for (;;) {
    const ReadLine read = reader.next(line);
    if (read == ReadLine::kEnd) break;
    out.emplace_back(read == ReadLine::kTooLong ? "<too long>" : std::string(line));
  }
  writer.join();
  return out;
}

using Lines = std::vector<std::string>;

TEST(LineReader, JoinsPiecesAndKeepsALastLineWithoutLineFeed) {
  EXPECT_EQ(read_all({"on", "e\ntw", "o\n", "\nlast"}, 100), (Lines{"one", "two", "", "last"}));
  EXPECT_EQ(read_all({}, 100), Lines{});
  EXPECT_EQ(read_all({"\n"}, 100), Lines{""});
}

TEST(LineReader, PassesOverALineBeyondTheBoundAndGoesOn) {
  const std::string at_bound(100, 'a');
  EXPECT_EQ(read_all({at_bound + "\n" + at_bound + "b\nnext\n"}, 100),
            (Lines{at_bound, "<too long>", "next"}));
  // Longer than the reader's whole buffer, more than once.
  const std::string huge(2'000'000, 'x');
  EXPECT_EQ(read_all({huge + "\nnext\n" + huge}, 100), (Lines{"<too long>", "next", "<too long>"}));
}

TEST(LineReader, StopsWhileAPipeIsSilent) {
  Pipe pipe;
  pipe.write("half a line");
  LineReader reader(pipe.reader(), 100, [] { return true; });
  std::string_view line;
  EXPECT_EQ(reader.next(line), ReadLine::kStopped);
}

}  // namespace
}  // namespace tally::producer::publish
