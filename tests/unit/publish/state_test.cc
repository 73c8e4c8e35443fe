// How far everything was acked, in memory and on disk.
#include "core/limits.h"
#include "producer/publish/acked_prefix.h"
#include "producer/publish/state_file.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

namespace tally::producer::publish {
namespace {

Place at(std::uint64_t offset) { return {nullptr, offset, offset + 1}; }

TEST(AckedPrefix, GoesAsFarAsEverythingHasEnded) {
  AckedPrefix prefix;
  prefix.begin(at(0));
  const std::uint64_t first = prefix.sent(at(10));
  const std::uint64_t second = prefix.sent(at(20));
  prefix.passed(at(30));
  prefix.passed(at(40));
  const std::uint64_t third = prefix.sent(at(50));
  prefix.delivered(second);
  EXPECT_EQ(prefix.acked().offset, 0U);
  prefix.delivered(first);
  EXPECT_EQ(prefix.acked().offset, 40U);
  prefix.delivered(third);
  EXPECT_EQ(prefix.acked().offset, 50U);
  prefix.passed(at(60));
  EXPECT_EQ(prefix.acked().offset, 60U);
  EXPECT_EQ(prefix.acked().line, 61U);
}

TEST(AckedPrefix, WhatWaitsBehindTheOldestIsBounded) {
  AckedPrefix prefix;
  prefix.begin(at(0));
  const std::uint64_t oldest = prefix.sent(at(1));
  while (prefix.has_room()) prefix.delivered(prefix.sent(at(2)));
  prefix.delivered(oldest);
  EXPECT_TRUE(prefix.has_room());
  // A failure is for good, and holds nobody up.
  static_cast<void>(prefix.sent(at(3)));
  prefix.failed();
  for (std::size_t i = 0; i <= core::kMaxPublishedBehindOldest; ++i) {
    prefix.delivered(prefix.sent(at(4)));
  }
  EXPECT_TRUE(prefix.has_room());
  EXPECT_EQ(prefix.acked().offset, 2U);
}

TEST(AckedPrefix, NeverPassesAFailureOrWhatWasWithdrawn) {
  AckedPrefix prefix;
  prefix.begin(at(0));
  static_cast<void>(prefix.sent(at(10)));
  const std::uint64_t second = prefix.sent(at(20));
  static_cast<void>(prefix.sent(at(30)));
  prefix.withdrawn();
  const std::uint64_t third = prefix.sent(at(31));
  prefix.failed();
  prefix.delivered(second);
  prefix.delivered(third);
  prefix.passed(at(40));
  EXPECT_TRUE(prefix.has_failed());
  EXPECT_TRUE(prefix.has_room());
  EXPECT_EQ(prefix.acked().offset, 0U);
}

State some_state() {
  return {"usage.events",
          {.inode = 0xffff'ffff'ffff'ffffU,
           .head_bytes = 4,
           .head_hash = "00ff",
           .offset = 9'007'199'254'740'993U,
           .line = 3},
          {{.identity = {5, 1'763'810'000'123'456'789}, .bytes = 6},
           {.identity = {0xffff'ffff'ffff'ffffU, 0}, .bytes = 9'007'199'254'740'993U}}};
}

TEST(StateFile, ComesBackAsItWasStored) {
  const Scratch scratch;
  const std::string path = scratch.path("state");
  auto none = load_state(path);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(none.value());
  State state = some_state();
  store_state(path, state);
  state.place.offset += 1;
  store_state(path, state);
  const auto loaded = load_state(path);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded.value(), state);
}

TEST(StateFile, OneThatIsTornOrForeignIsRefused) {
  const Scratch scratch;
  const std::string whole = to_json(some_state());
  for (std::size_t bytes = 0; bytes + 2 <= whole.size(); ++bytes) {
    scratch.write("state", whole.substr(0, bytes));
    const auto loaded = load_state(scratch.path("state"));
    ASSERT_FALSE(loaded) << bytes;
    EXPECT_NE(loaded.error().message.find("/state is none that this tally-producer wrote"),
              std::string::npos)
        << loaded.error().message;
  }
  for (const auto& [from, to] : {std::pair{R"(state":1)", R"(state":2)"},
                                 {R"("offset":9)", R"("offset":-9)"},
                                 {R"("offset":9)", R"("offset":99999999999)"},
                                 {R"("line":3)", R"("line":3.0)"},
                                 {R"("line":3)", R"("row":3)"},
                                 {R"("left":[)", R"("left":[{},)"},
                                 {R"("bytes":6)", R"("bytes":-6)"},
                                 {R"("left":[{)", R"("left":{"0":{)"}}) {
    std::string text = whole;
    text.replace(text.find(from), std::string(from).size(), to);
    EXPECT_FALSE(parse_state(text)) << text;
  }
}

TEST(StateFile, OneOfBeforeLeftFilesWereKeptIsTaken) {
  State state = some_state();
  state.left.clear();
  std::string old = to_json(state);
  const std::string member = R"(,"left":[])";
  old.replace(old.find(member), member.size(), "");
  const auto parsed = parse_state(old);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed.value(), state);
}

TEST(StateFile, OneThatCannotBeReadSaysWhy) {
  const Scratch scratch;
  std::filesystem::create_symlink("state", scratch.path("state"));
  const auto loaded = load_state(scratch.path("state"));
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("/state cannot be read: "), std::string::npos)
      << loaded.error().message;
}

TEST(StateFile, AFolderThatIsNotThereIsTold) {
  const Scratch scratch;
  EXPECT_THROW(store_state(scratch.path("no/state"), some_state()), std::system_error);
}

// Two runs wrote each other's states, and both ended with the word that the disk was to blame.
TEST(StateLock, IsOneRunsAtATime) {
  const Scratch scratch;
  const std::string path = scratch.path("state");
  {
    const auto first = StateLock::take(path);
    ASSERT_TRUE(first) << first.error().message;
    const auto second = StateLock::take(path);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("/state is in use by process " +
                                          std::to_string(::getpid()) + ": one run at a time"),
              std::string::npos)
        << second.error().message;
    EXPECT_TRUE(StateLock::take(scratch.path("other")));
  }
  EXPECT_TRUE(StateLock::take(path));
  EXPECT_THROW(static_cast<void>(StateLock::take(scratch.path("no/state"))), std::system_error);
}

TEST(StateLock, LeavesAFileThatIsNoLockAsItIs) {
  const Scratch scratch;
  for (const std::string text :
       {"{\"specversion\":\"1.0\"}\n", "12345678901234567890123456789012345\n"}) {
    std::ofstream(scratch.path("x.lock")) << text;
    const auto refused = StateLock::take(scratch.path("x"));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("holds something else"), std::string::npos)
        << refused.error().message;
    std::ostringstream left;
    left << std::ifstream(scratch.path("x.lock")).rdbuf();
    EXPECT_EQ(left.str(), text);
  }
}

}  // namespace
}  // namespace tally::producer::publish
