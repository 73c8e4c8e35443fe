// Which files had a log's name, and in which order they are read.
#include "producer/publish/rotation.h"
#include "tests/unit/publish/forbidden.h"
#include "tests/unit/publish/scratch.h"
#include "tests/unit/publish/steps.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <system_error>

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
        "app-2026112210.log", "app.2026-11-22.1.log", "app_2026-11-22T10:00:00Z.log",
        "app-20261122-3.log.gz", "app.2026_11_22.log"}) {
    EXPECT_TRUE(is_log_name("app.log", name)) << name;
  }
  for (const std::string name :
       {"app.log.state", "app.log.state.new", "app.log.bak", "app.log.", "app.log.-", "app.logs",
        "app.log1", "application.log", "app-error.log", "app", "log", "app.log.1.swp", "",
        // Another log of the same folder, or of another instance, port or customer.
        "app-2.log", "app_1.log", "app.1.log", "app.1.log.gz", "app-8080.log", "app-10000001.log",
        "app-1763810000.log", "app-20261399.log", "app-2026-11.log", "app-10.20.30.40.log",
        "app.log-2", "app.log_1"}) {
    EXPECT_FALSE(is_log_name("app.log", name)) << name;
  }
  EXPECT_TRUE(is_log_name("log", "log.1"));
  EXPECT_FALSE(is_log_name("log", "og.1"));
  EXPECT_TRUE(is_log_name("worker", "worker-20261122"));
  EXPECT_FALSE(is_log_name("worker", "worker-2"));
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

// A rotation that gives names which may be another log's: the file between was passed over, exit
// code 0.
TEST(Rotation, AFileThatWasPassedOverForItsNameIsToldAndCounted) {
  const Scratch scratch;
  scratch.write("app.log", "one\n");
  scratch.write("app-8080.log", "a neighbour's\n");
  Input input(scratch.path("app.log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] {
    scratch.rename("app.log", "app.1.log");
    scratch.give_birth("app.log", "two\n");
    scratch.give_birth("app-8081.log", "another neighbour's\n");
    scratch.rename("app.1.log", "app.2.log");
    scratch.rename("app.log", "app.1.log");
    scratch.give_birth("app.log", "three\n");
    scratch.give_birth("app.9.log", "born later\n");
  }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  // Once more: each is told once.
  steps.emplace_back([&] {
    scratch.rename("app.log", "app.3.log");
    scratch.give_birth("app.log", "four\n");
  });
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "1@0 three", "<new file>", "1@0 four"}));
  EXPECT_NE(input.take_trouble().value_or("").find("/app.1.log, which seems to have been "),
            std::string::npos);
  // What cannot be told from a log that was rotated is told, too.
  EXPECT_NE(input.take_trouble().value_or("").find("/app.9.log, "), std::string::npos);
  EXPECT_FALSE(input.take_trouble());
  EXPECT_EQ(input.late_bytes(), 4U + 11U);
}

// The neighbour's lines were counted twice: by its own tail, and here under other ids.
TEST(Rotation, ANeighboursLogThatIsRotatedTooIsNotRead) {
  const Scratch scratch;
  scratch.write("app.log", "one\n");
  scratch.write("app-2.log", "theirs\n");
  const FilePlace place = place_of(scratch, "app.log", 0);
  const auto rotate = [&] {
    scratch.rename("app.log", "app.log.1");
    scratch.rename("app-2.log", "app-2.log.1");
    scratch.give_birth("app-2.log", "theirs too\n");
    scratch.give_birth("app.log", "two\n");
  };
  const Lines ours = {"1@0 one", "<new file>", "1@0 two"};
  Input input(scratch.path("app.log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {rotate};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps), ours);
  EXPECT_FALSE(input.take_trouble());
  EXPECT_EQ(input.late_bytes(), 0U);
  Input later(scratch.path("app.log"), kAtOnce);
  ASSERT_TRUE(later.find(place));
  RecordReader again(later, 100, std::nullopt);
  EXPECT_EQ(follow(later, again, kFourWaits), ours);
  EXPECT_FALSE(later.take_trouble());
}

// Another rotation in the same moment, of a neighbour with names of the same kind.
TEST(Rotation, ANeighboursLogIsNotToldAsPassedOver) {
  const Scratch scratch;
  scratch.write("app.log", "one\n");
  scratch.give_birth("app.7.log", "theirs\n");
  scratch.give_birth("app-2.log", "theirs\n");
  Input input(scratch.path("app.log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] {
    scratch.rename("app.log", "app.1.log");
    scratch.rename("app-2.log", "app-2.1.log");
    scratch.give_birth("app-2.log", "theirs too\n");
    scratch.give_birth("app.log", "two\n");
  }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps), (Lines{"1@0 one", "<new file>", "1@0 two"}));
  EXPECT_FALSE(input.take_trouble());
  EXPECT_EQ(input.late_bytes(), 0U);
}

// A symbolic link moves on from file to file: those between two runs were passed over in silence.
TEST(Rotation, AFileThatNeverHadTheNameIsNotGoneOnIn) {
  const Scratch scratch;
  scratch.write("app.20.log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "app.20.log", 4);
  scratch.give_birth("app.21.log", "three\n");
  scratch.give_birth("app.22.log", "four\n");
  std::filesystem::create_symlink("app.22.log", scratch.path("current.log"));
  Input input(scratch.path("current.log"), kAtOnce);
  const auto found = input.find(place);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("app.20.log, which is not called as a rotated "),
            std::string::npos)
      << found.error().message;
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

// Run by cron it was told to remove the state, and lost the rest of the rotated file.
TEST(Rotation, WhoReadsToTheEndGoesThroughWhatWasRotatedSince) {
  const Scratch scratch;
  scratch.write("log", "one\ntwo\n");
  const FilePlace place = place_of(scratch, "log", 4);
  scratch.rename("log", "log.2");
  scratch.give_birth("log.1", "three\n");
  scratch.give_birth("log", "four\nfi");
  Input input(scratch.path("log"), Follow{.grace = kAtOnce.grace, .to_end = true});
  EXPECT_FALSE(input.is_followed());
  ASSERT_TRUE(input.find(place));
  input.seek(place.offset);
  RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
  reader.go_on_at(place.offset, place.line);
  Steps steps = kFourWaits;
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"2@4 two", "<new file>", "1@0 three", "<new file>", "1@0 four"}));
  // Told at the end, not where a wait was given up.
  EXPECT_EQ(reader.left_bytes(), 2U);
}

// It was read for as long as somebody wrote to it, and the new file was not.
TEST(Rotation, WhoReadsToTheEndWaitsOnceForARotatedFileThatGrows) {
  const Scratch scratch;
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), Follow{.grace = std::chrono::milliseconds(150), .to_end = true});
  RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
  scratch.rename("log", "log.1");
  scratch.give_birth("log", "two\n");
  Steps steps(100, [&] { scratch.append("log.1", "more\n"); });
  const Lines lines = follow(input, reader, steps);
  ASSERT_LT(lines.size(), 100U);
  EXPECT_EQ(lines.back(), "1@0 two");
}

TEST_F(Forbidden, WhatCannotBeOpenedYetIsToldAndTriedAgain) {
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] { rotate_to_what_is_forbidden(); },
                 [] {},
                 [] {},
                 [&] {
                   const auto told = input.take_trouble().value_or("");
                   EXPECT_NE(told.find("/log cannot be opened: "), std::string::npos) << told;
                   EXPECT_FALSE(input.take_trouble());
                   // One that comes meanwhile is held, and waits for its turn.
                   become(me_);
                   scratch.rename("log", "log.0");
                   scratch.give_birth("log", "three\n");
                   if (me_ == 0) become(kNobody);
                 },
                 [] {},
                 [] {},
                 [&] { allow("log.0"); }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps),
            (Lines{"1@0 one", "<new file>", "1@0 two", "<new file>", "1@0 three"}));
  EXPECT_EQ(input.late_bytes(), 0U);
}

// By cron each run waited for ever, and the next one beside it.
TEST_F(Forbidden, WhoReadsToTheEndDoesNotWaitForWhatCannotBeOpened) {
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), Follow{.grace = kAtOnce.grace, .to_end = true});
  RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
  rotate_to_what_is_forbidden();
  Record record;
  EXPECT_EQ(reader.next(record), Next::kRecord);
  input.keep_waiting([waits = 0]() mutable { return ++waits < 10; });
  try {
    static_cast<void>(reader.next(record));
    ADD_FAILURE() << "it ended as if all had been read, or waited";
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("/log cannot be opened: "), std::string::npos)
        << error.what();
  }
}

// A file that is published with a state, and was not rotated, needs no look at its neighbours.
TEST_F(Forbidden, AFolderThatCannotBeListedIsToldWhereItIsNeeded) {
  scratch.write("log", "one\n");
  std::filesystem::permissions(scratch.path(""), std::filesystem::perms(0711));
  if (me_ == 0)
    become(kNobody);
  else
    std::filesystem::permissions(scratch.path(""), std::filesystem::perms(0311));
  const Follow to_end{.grace = kAtOnce.grace, .to_end = true};
  {
    Input input(scratch.path("log"), to_end);
    RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
    EXPECT_EQ(follow(input, reader, {}), Lines{"1@0 one"});
    EXPECT_FALSE(input.take_trouble());
  }
  Input input(scratch.path("log"), to_end);
  become(me_);
  scratch.rename("log", "log.1");
  scratch.write("log", "two\n");
  if (me_ == 0) become(kNobody);
  const auto what_is_thrown = [](const auto& does) {
    try {
      does();
    } catch (const std::system_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  RecordReader reader(input, 100, std::nullopt, LastLine::kIsLeft);
  const std::string sentence = ", in which rotated files are looked for, cannot be listed: ";
  EXPECT_NE(what_is_thrown([&] { follow(input, reader, kFourWaits); }).find(sentence),
            std::string::npos);
  EXPECT_NE(
      what_is_thrown([&] { const Input follows(scratch.path("log"), kAtOnce); }).find(sentence),
      std::string::npos);
  become(me_);
  std::filesystem::permissions(scratch.path(""), std::filesystem::perms(0777));
}

// Metering stood still for as long as nobody had read that one line.
TEST_F(Forbidden, WhatCannotBeOpenedIsCountedWhileItWaitsAndToldAgain) {
  scratch.write("log", "one\n");
  Input input(scratch.path("log"),
              Follow{.grace = kAtOnce.grace, .tell_again = std::chrono::milliseconds(0)});
  RecordReader reader(input, 100, std::nullopt);
  const Steps steps = {[&] { rotate_to_what_is_forbidden(); },
                       [] {},
                       [] {},
                       [&] {
                         become(me_);
                         scratch.rename("log", "log.0");
                         scratch.give_birth("log", "three\n");
                         if (me_ == 0) become(kNobody);
                       },
                       [] {},
                       [] {}};
  EXPECT_EQ(follow(input, reader, steps), Lines{"1@0 one"});
  EXPECT_EQ(input.unopened_bytes(), 4U + 6U);
  EXPECT_EQ(input.late_bytes(), 0U);
  const auto told = input.take_trouble();
  EXPECT_TRUE(told);
  EXPECT_EQ(input.take_trouble(), told);
}

TEST_F(Forbidden, WhatIsRemovedBeforeItCouldBeOpenedIsCounted) {
  scratch.write("log", "one\n");
  Input input(scratch.path("log"), kAtOnce);
  RecordReader reader(input, 100, std::nullopt);
  Steps steps = {[&] { rotate_to_what_is_forbidden(); }, [] {}, [] {},
                 [&] {
                   become(me_);
                   std::filesystem::remove(scratch.path("log"));
                   scratch.give_birth("log", "three\n");
                 }};
  steps.insert(steps.end(), kFourWaits.begin(), kFourWaits.end());
  EXPECT_EQ(follow(input, reader, steps), (Lines{"1@0 one", "<new file>", "1@0 three"}));
  EXPECT_EQ(input.late_bytes(), 4U);
  EXPECT_NE(input.take_trouble().value_or("").find("cannot be opened"), std::string::npos);
  EXPECT_NE(input.take_trouble().value_or("").find("is gone"), std::string::npos);
}

// /proc has none.
TEST(Rotation, AFileSystemWithoutBirthTimesIsTold) {
  Input without("/proc/version", kAtOnce);
  EXPECT_NE(without.take_trouble().value_or("").find("/proc/version keeps no birth times"),
            std::string::npos);
  const Scratch scratch;
  scratch.write("log", "one\n");
  EXPECT_FALSE(Input(scratch.path("log"), kAtOnce).take_trouble());
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
