// A file that grows, is rotated or emptied while it is read; and the place in it that is found
// again.
#include "producer/publish/input.h"
#include "producer/publish/record_reader.h"
#include "tests/unit/publish/scratch.h"
#include "tests/unit/publish/steps.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::publish {
namespace {

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
            (Lines{"1@0 one", "2@4 two", "<new file>", "1@0 three", "2@6 four"}));
  EXPECT_EQ(reader.file()->head, "three\nfour\n");
  // A number may have been cut off there: it is no record, and told.
  EXPECT_EQ(input.late_bytes(), 21U);
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

// Apache's old children write for minutes: as long as they do it is read, and afterwards it is
// told.
TEST(Follow, WhatARotatedFileGetsTooLateIsTold) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader,
                   {[&] {
                      scratch.rename("log", "log.1");
                      scratch.write("log", "three\n");
                    },
                    [] {}, [&] { scratch.append("log.1", "two\n"); }}),
            (Lines{"1@0 one", "<new file>", "1@0 three"}));
  EXPECT_EQ(input.late_bytes(), 4U);
}

TEST(Follow, WhatIsNotReadIsToldOnceWithItsFile) {
  const Scratch scratch;
  scratch.write("log", "one\ntw");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  std::string first;
  std::string second;
  follow(input, reader,
         {[&] {
            scratch.rename("log", "log.1");
            scratch.give_birth("log", "three\n");
          },
          [] {}, [] {},
          [&] {
            first = input.take_trouble().value_or("");
            scratch.append("log.1", "o\n");
            EXPECT_FALSE(input.take_trouble());
            scratch.rename("log", "log.2");
            scratch.give_birth("log", "four\n");
          },
          [] {}, [] {},
          [&] {
            scratch.append("log.2", "late\n");
            second = input.take_trouble().value_or("");
          }});
  EXPECT_NE(first.find("/log.1, which was rotated away, ends with 2 bytes without a line end"),
            std::string::npos)
      << first;
  EXPECT_NE(second.find("/log.2, which was rotated away, was written to after it was left"),
            std::string::npos)
      << second;
  EXPECT_EQ(input.late_bytes(), 4U + 5U);
}

TEST(Follow, WhatWasToldOfFilesLongLeftStaysCounted) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps;
  for (const std::string name : {"log.1", "log.2", "log.3", "log.4", "log.5", "log.6"}) {
    steps.insert(steps.end(), {[&, name] {
                                 scratch.rename("log", name);
                                 scratch.give_birth("log", "more\n");
                               },
                               [] {}, [] {},
                               [&] {
                                 if (input.late_bytes() == 0) scratch.append("log.1", "x\n");
                               }});
  }
  EXPECT_EQ(follow(input, reader, steps).size(), 1U + 6U * 2U);
  EXPECT_EQ(input.late_bytes(), 2U);
}

// A state that stands in a file reads it again, and those behind it: they are not left yet.
TEST(Follow, FilesAreLeftForAStateOnlyBeforeItsOwn) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  std::vector<std::uint64_t> inodes = {input.file()->inode};
  Steps steps;
  for (const std::string name : {"log.1", "log.2"}) {
    steps.insert(steps.end(), {[&, name] {
                                 scratch.rename("log", name);
                                 scratch.give_birth("log", "more\n");
                               },
                               [] {}, [] {}, [&] { inodes.push_back(input.file()->inode); }});
  }
  follow(input, reader, steps);
  const auto bytes_before = [&](std::uint64_t inode) {
    std::vector<std::uint64_t> out;
    for (const LeftFile& file : input.left_before(inode)) out.push_back(file.bytes);
    return out;
  };
  ASSERT_EQ(inodes.size(), 3U);
  EXPECT_EQ(bytes_before(inodes[0]), std::vector<std::uint64_t>());
  EXPECT_EQ(bytes_before(inodes[1]), (std::vector<std::uint64_t>{4}));
  EXPECT_EQ(bytes_before(inodes[2]), (std::vector<std::uint64_t>{4, 5}));
  EXPECT_EQ(bytes_before(inodes[0] + 1'000'000), std::vector<std::uint64_t>());
  // What was told is not told again.
  scratch.append("log.1", "late\n");
  EXPECT_TRUE(input.take_trouble());
  EXPECT_EQ(bytes_before(inodes[2]), (std::vector<std::uint64_t>{9, 5}));
}

TEST(Follow, AnEmptiedFileIsReadFromItsBegin) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader, {[&] { scratch.write("log", "three\n"); }}),
            (Lines{"1@0 one", "2@4 two", "<new file>", "1@0 three"}));
  // What was not read is lost, and nothing else may say so.
  EXPECT_NE(input.take_trouble().value_or("").find("/log was emptied: what it got after "),
            std::string::npos);
  EXPECT_FALSE(input.take_trouble());
  EXPECT_EQ(input.late_bytes(), 0U);
}

// Who writes in blocks has half a line out when the file is copied and emptied: "n=51" of 512. Its
// other half, "2", was billed.
TEST(Follow, NoPieceOfALineIsARecordWhereAFileIsEmptied) {
  const Scratch scratch;
  scratch.write("log", "one\nn=51");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader,
                   {[&] { scratch.write("log", ""); }, [] {}, [&] { scratch.append("log", "2"); },
                    [&] { scratch.append("log", "\nthree\n"); }}),
            (Lines{"1@0 one", "<new file>", "2@2 three"}));
  EXPECT_EQ(input.late_bytes(), 4U + 2U);
  const std::string told = input.take_trouble().value_or("");
  EXPECT_NE(told.find("was emptied within a line, of which 4 bytes had been read: neither they "),
            std::string::npos)
      << told;
  EXPECT_FALSE(input.take_trouble());
}

TEST(Follow, ThePieceBehindAnEmptyingIsOneAlsoWhereItIsEmptiedOrRotatedAgain) {
  const Scratch scratch;
  scratch.write("log", "one\nn=51");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] { scratch.write("log", "2"); },
                 [] {},
                 [&] { scratch.write("log", ""); },
                 [&] { scratch.append("log", "3\nfour\nn=6"); },
                 [&] { scratch.write("log", "5"); },
                 [&] {
                   scratch.rename("log", "log.1");
                   scratch.give_birth("log", "six\n");
                 }};
  steps.insert(steps.end(), 4, [] {});
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "2@2 four", "<new file>", "1@0 six"}));
  EXPECT_EQ(input.late_bytes(), 4U + 1U + 2U + 3U + 1U);
}

TEST(Follow, NoPieceOfARowIsARecordWhereAFileIsEmptied) {
  const Scratch scratch;
  scratch.write("log", "a,1\nb,5");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, ',');
  EXPECT_EQ(follow(input, reader, {[&] { scratch.write("log", "1,x\nc,3\n"); }}),
            (Lines{"1@0 a,1", "<new file>", "2@4 c,3"}));
  EXPECT_EQ(input.late_bytes(), 3U + 4U);
}

// Nothing tells which line end is the row's: what a customer wrote was read as a row.
TEST(Follow, WhereAFileIsEmptiedWithinQuotesReadingEnds) {
  const Scratch scratch;
  scratch.write("log", "a,1\nb,\"5");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, ',');
  input.keep_waiting([&, emptied = false]() mutable {
    if (!std::exchange(emptied, true)) scratch.write("log", "x\nc,3\n");
    return true;
  });
  Record record;
  EXPECT_EQ(reader.next(record), Next::kRecord);
  EXPECT_EQ(reader.next(record), Next::kBroken);
  EXPECT_EQ(input.late_bytes(), 4U);
}

TEST(Follow, APieceOfARowIsNoRecordWhereAFileIsRotated) {
  const Scratch scratch;
  scratch.write("log", "a,1\nb,\"5");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, ',');
  EXPECT_EQ(follow(input, reader,
                   {[&] {
                      scratch.rename("log", "log.1");
                      scratch.write("log", "c,3\n");
                    },
                    [] {}, [&] { scratch.append("log.1", "1\"\n"); }}),
            (Lines{"1@0 a,1", "<new file>", "1@0 c,3"}));
  // The whole row: what was left, and what came later.
  EXPECT_EQ(input.late_bytes(), 7U);
}

// What was written over had its first lines passed over, and began in the middle of one.
TEST(Follow, AnEmptiedFileThatHasGrownPastTheOldPlaceIsReadFromItsBegin) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  EXPECT_EQ(follow(input, reader, {[&] { scratch.write("log", "three\nfour\nfive\n"); }}),
            (Lines{"1@0 one", "2@4 two", "<new file>", "1@0 three", "2@6 four", "3@11 five"}));
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

TEST(Follow, APlaceInAnotherFileIsRefused) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  EXPECT_EQ(problem_of(scratch, place), "");
  // Written over: the same inode.
  const std::string what_to_do =
      ": if it was copied and emptied, publish the copy with the same settings, without a state, "
      "then remove the state; else give each file a state of its own";
  scratch.write("log", "One\ntwo\n");
  EXPECT_NE(problem_of(scratch, place).find("begins with other bytes" + what_to_do),
            std::string::npos);
  scratch.write("log", "on");
  EXPECT_NE(problem_of(scratch, place).find("has 2 bytes, of which 4 were published" + what_to_do),
            std::string::npos);
  scratch.write("log", "one\ntwo\n");
  EXPECT_NE(problem_of(scratch, place_of(scratch, "log", 5)).find("byte 5 of "), std::string::npos);
}

}  // namespace
}  // namespace tally::producer::publish
