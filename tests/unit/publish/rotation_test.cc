// Which files had a log's name, and in which order they are read.
#include "producer/publish/rotation.h"
#include "tests/unit/publish/scratch.h"
#include "tests/unit/publish/steps.h"

#include <gtest/gtest.h>

#include <string>

namespace tally::producer::publish {
namespace {

// From a place behind "1", line 1, to where nothing comes any more.
Lines go_on(const Scratch& scratch, const FilePlace& place, const Steps& steps) {
  Input input(scratch.path("log"), kAtOnce);
  const auto found = input.find(place);
  EXPECT_TRUE(found) << found.error().message;
  input.seek(place.offset);
  RecordReader reader(input, 100, std::nullopt);
  reader.go_on_at(place.offset, place.line);
  return follow(input, reader, steps);
}

const Steps kFourWaits = {[] {}, [] {}, [] {}, [] {}};

TEST(Rotation, ItsNamesAreTheLogsOwnWithANumberOrAMoment) {
  for (const std::string name :
       {"app.log", "app.log.1", "app.log.0", "app.log-20261122", "app.log.2026-11-22T10:00:00Z",
        "app.log.old", "app.log.3.gz", "app.log-20261122-1763810000.zst", "app-20261122.log",
        "app.2026-11-22.1.log", "app.1.log.gz"}) {
    EXPECT_TRUE(is_log_name("app.log", name)) << name;
  }
  for (const std::string name :
       {"app.log.state", "app.log.state.new", "app.log.bak", "app.log.", "app.log.-", "app.logs",
        "app.log1", "application.log", "app-error.log", "app", "log", "app.log.1.swp", ""}) {
    EXPECT_FALSE(is_log_name("app.log", name)) << name;
  }
  EXPECT_TRUE(is_log_name("log", "log.1"));
  EXPECT_FALSE(is_log_name("log", "og.1"));
}

// Of two rotations soon after each other the file between them was never looked for.
TEST(Rotation, TwiceBetweenTwoLooksLosesNoFile) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] {
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "two\n");
    scratch.rename("log.1", "log.2");
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "three\n");
  }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "1@0 two", "<new file>", "1@0 three"}));
}

// While the broker is away nothing is read; a rotation may even remove what was seen.
TEST(Rotation, WhatComesAndGoesWhileNothingIsReadIsKept) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  const auto held_up = [&] {
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "two\n");
    input.watch();
    std::filesystem::remove(scratch.path("log"));
    scratch.give_birth("log", "three\n");
  };
  Steps steps = {held_up};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "1@0 two", "<new file>", "1@0 three"}));
}

TEST(Rotation, AFileThatIsGivenItsNameBackIsReadAgain) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] {
                   scratch.rename("log", "log.1");
                   scratch.give_birth("log", "two\n");
                 },
                 [] {}, [] {},
                 [&] {
                   scratch.rename("log", "log.2");
                   scratch.rename("log.1", "log");
                   scratch.append("log", "three\n");
                 }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "1@0 two", "<new file>", "1@0 one", "2@4 three"}));
  EXPECT_EQ(input.late_bytes(), 0U);
}

// A kill soon after a rotation leaves a state in the old file; the next rotation must lose nothing.
TEST(Rotation, ThoseThatHadTheNameSinceComeInTheOrderOfTheirBirth) {
  const Scratch scratch;
  scratch.write("log.7", "long ago\n");
  scratch.give_birth("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  scratch.rename("log", "log.4");
  scratch.give_birth("log.3", "three\n");
  scratch.give_birth("log.2", "four\n");
  scratch.write("other", "not one of them\n");
  scratch.write("log.state", "nor this\n");
  scratch.give_birth("log", "five\n");
  // Late writers: neither the file of the state nor another loses its turn.
  scratch.append("log.3", "late\n");
  scratch.append("log.4", "later\n");
  EXPECT_EQ(go_on(scratch, place, kFourWaits),
            (Lines{"2@4 two", "3@8 later", "<new file>", "1@0 three", "2@6 late", "<new file>",
                   "1@0 four", "<new file>", "1@0 five"}));
  scratch.write("log.2.gz", "?");
  Input input(scratch.path("log"), kAtOnce);
  const auto refused = input.find(place);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("log.2.gz was written after"), std::string::npos);
}

// Its advice was to remove the state, and lost the rest of that file.
TEST(Rotation, AFileOfTheStateThatWasCompressedIsNamed) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  scratch.rename("log", "moved");
  scratch.write("log.1.gz", "?");
  scratch.write("log", "three\n");
  std::filesystem::remove(scratch.path("moved"));
  Input input(scratch.path("log"), kAtOnce);
  const auto found = input.find(place);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("if it became log.1.gz, then unpack that"),
            std::string::npos)
      << found.error().message;
}

TEST(Rotation, DuringTheBacklogLosesNoFile) {
  const Scratch scratch;
  scratch.write("log.2", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log.2", 4);
  scratch.give_birth("log.1", "three\n");
  scratch.give_birth("log", "four\n");
  Steps steps = {[&] {
    scratch.rename("log.2", "log.3");
    scratch.rename("log.1", "log.2");
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "five\n");
  }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(go_on(scratch, place, steps), (Lines{"2@4 two", "<new file>", "1@0 three", "<new file>",
                                                 "1@0 four", "<new file>", "1@0 five"}));
}

}  // namespace
}  // namespace tally::producer::publish
