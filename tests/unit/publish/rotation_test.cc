// Which files had a log's name, and in which order they are read.
#include "producer/publish/rotation.h"
#include "tests/unit/publish/scratch.h"
#include "tests/unit/publish/steps.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
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
  Input later(scratch.path("app.log"), kAtOnce);
  ASSERT_TRUE(later.find(place));
  RecordReader again(later, 100, std::nullopt);
  EXPECT_EQ(follow(later, again, kFourWaits), ours);
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

// Between logrotate's making of a file and its chown nobody else may read it.
class Forbidden : public ::testing::Test {
 protected:
  Forbidden() { std::filesystem::permissions(scratch.path(""), std::filesystem::perms(0777)); }
  ~Forbidden() override { become(me_); }
  void forbid(const std::string& name) {
    std::filesystem::permissions(scratch.path(name), std::filesystem::perms::none);
    if (me_ == 0) become(kNobody);
  }
  void allow(const std::string& name) {
    become(me_);
    std::filesystem::permissions(scratch.path(name), std::filesystem::perms(0644));
  }
  void become(uid_t user) { EXPECT_EQ(::seteuid(user), 0); }
  void rotate_to_what_is_forbidden() {
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "two\n");
    forbid("log");
  }
  static constexpr uid_t kNobody = 65'534;
  const Scratch scratch;
  const uid_t me_ = ::geteuid();
};

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
