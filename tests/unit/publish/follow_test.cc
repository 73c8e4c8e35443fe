// A file that grows, is rotated or emptied while it is read; and the place in it that is found
// again.
#include "producer/publish/input.h"
#include "producer/publish/record_reader.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace tally::producer::publish {
namespace {

using Steps = std::vector<std::function<void()>>;
using Lines = std::vector<std::string>;

constexpr Follow kAtOnce{std::chrono::milliseconds(0)};

// Reads until nothing comes any more: each time the input waits, the next step is done.
Lines follow(Input& input, RecordReader& reader, const Steps& steps) {
  std::size_t done = 0;
  input.keep_waiting([&] {
    if (done == steps.size()) return false;
    steps[done++]();
    return true;
  });
  Lines out;
  Record record;
  for (;;) {
    const Next next = reader.next(record);
    if (next == Next::kStopped || next == Next::kEnd) break;
    out.push_back(next == Next::kNewFile
                      ? "<new file>"
                      : std::to_string(record.line) + "@" + std::to_string(record.offset) + " " +
                            std::string(record.text));
  }
  return out;
}

TEST(Follow, AGrowingFileIsReadByWholeLines) {
  const Scratch scratch;
  scratch.write("log", "one\ntw");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(
      follow(input, reader,
             {[&] { scratch.append("log", "o\nthr"); }, [&] { scratch.append("log", "ee\nx"); }}),
      (Lines{"1@0 one", "2@4 two", "3@8 three"}));
}

TEST(Follow, ARotatedFileIsReadToItsEndThenTheNewOne) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader,
                   {[&] {
                      scratch.rename("log", "log.1");
                      scratch.append("log.1", "two\nlast without its end");
                    },
                    // The name is gone, and not taken yet.
                    [&] { scratch.append("log.1", "!"); }, [&] { scratch.write("log", "three\n"); },
                    [&] { scratch.append("log", "four\n"); }}),
            (Lines{"1@0 one", "2@4 two", "3@8 last without its end!", "<new file>", "1@0 three",
                   "2@6 four"}));
  EXPECT_EQ(reader.file()->head, "three\nfour\n");
}

TEST(Follow, WhoeverHasTheRotatedFileOpenYetIsWaitedFor) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), Follow{std::chrono::milliseconds(150)});
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader,
                   {[&] {
                      scratch.rename("log", "log.1");
                      scratch.write("log", "three\n");
                    },
                    [&] { scratch.append("log.1", "two\n"); }, [] {}, [] {}, [] {}}),
            (Lines{"1@0 one", "2@4 two", "<new file>", "1@0 three"}));
}

TEST(Follow, AnEmptiedFileIsReadFromItsBegin) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader, {[&] { scratch.write("log", "three\n"); }}),
            (Lines{"1@0 one", "2@4 two", "<new file>", "1@0 three"}));
}

FilePlace place_of(const Scratch& scratch, const std::string& name, std::uint64_t offset) {
  Input input(scratch.path(name));
  RecordReader reader(input, 100, std::nullopt);
  follow(input, reader, {});
  return place_in(*input.file(), offset, 2);
}

std::string problem_of(const Scratch& scratch, const FilePlace& place) {
  Input input(scratch.path("log"));
  const auto found = input.find(place);
  return found ? "" : found.error().message;
}

TEST(Follow, GoesOnInTheFileThatWasRotatedMeanwhile) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  scratch.rename("log", "log.1");
  scratch.write("log", "three\n");
  Input input(scratch.path("log"), kAtOnce);
  const auto found = input.find(place);
  ASSERT_TRUE(found) << found.error().message;
  input.seek(place.offset);
  RecordReader reader(input, 100, std::nullopt);
  reader.go_on_at(place.offset, place.line);
  EXPECT_EQ(follow(input, reader, {[] {}}), (Lines{"2@4 two", "<new file>", "1@0 three"}));
  // Who does not follow is told.
  EXPECT_NE(problem_of(scratch, place).find("is of another file than"), std::string::npos);
}

// A kill soon after a rotation leaves a state in the old file; the next rotation must lose nothing.
TEST(Follow, ThoseThatHadTheNameSinceComeInTheirOrder) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  scratch.write("log.7", "long ago\n");
  scratch.written("log.7", 1);
  scratch.written("log", 2);
  const FilePlace place = place_of(scratch, "log", 4);
  scratch.rename("log", "log.4");
  scratch.write("log.2", "four\n");
  scratch.written("log.2", 4);
  scratch.write("log.3", "three\n");
  scratch.written("log.3", 3);
  scratch.write("other", "not one of them\n");
  scratch.write("log", "five\n");
  {
    Input input(scratch.path("log"), kAtOnce);
    ASSERT_TRUE(input.find(place));
    input.seek(place.offset);
    RecordReader reader(input, 100, std::nullopt);
    reader.go_on_at(place.offset, place.line);
    EXPECT_EQ(follow(input, reader, {[] {}, [] {}, [] {}}),
              (Lines{"2@4 two", "<new file>", "1@0 three", "<new file>", "1@0 four", "<new file>",
                     "1@0 five"}));
  }
  scratch.write("log.2.gz", "?");
  Input input(scratch.path("log"), kAtOnce);
  const auto refused = input.find(place);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("log.2.gz was written after"), std::string::npos);
}

TEST(Follow, APlaceInAnotherFileIsRefused) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  EXPECT_EQ(problem_of(scratch, place), "");
  // Written over: the same inode.
  scratch.write("log", "One\ntwo\n");
  EXPECT_NE(problem_of(scratch, place).find("begins with other bytes"), std::string::npos);
  scratch.write("log", "on");
  EXPECT_NE(problem_of(scratch, place).find("has 2 bytes, of which 4 were published"),
            std::string::npos);
  scratch.write("log", "one\ntwo\n");
  EXPECT_NE(problem_of(scratch, place_of(scratch, "log", 5)).find("no line that begins at byte 5"),
            std::string::npos);
}

}  // namespace
}  // namespace tally::producer::publish
