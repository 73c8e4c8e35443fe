// Files that somebody else changed: flipped bits, missing pieces, other versions, other spools.
#include "producer/spool/format.h"
#include "tests/unit/spool/memory_disk.h"
#include "tests/unit/spool/rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tally::producer::spool {
namespace {

constexpr StoreLimits kLimits{1'000'000, 100'000};

std::vector<Event> events(int count) {
  std::vector<Event> all;
  for (int i = 0; i < count; ++i) all.push_back(event(i, static_cast<std::size_t>(10 + i * 7)));
  return all;
}

// A spool of two segments, each written in two writes.
void fill(MemoryDisk& disk, const std::vector<Event>& all) {
  const std::size_t half = all.size() / 2;
  const auto append = [&](Rig& rig, std::size_t from, std::size_t to) {
    const auto at = [&](std::size_t i) { return all.begin() + static_cast<std::ptrdiff_t>(i); };
    ASSERT_EQ(rig.append({at(from), at(to)}).records, to - from);
  };
  for (const std::size_t begin : {std::size_t{0}, half}) {
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig) << rig.error().message;
    append(*rig.value(), begin, begin + half / 2);
    append(*rig.value(), begin + half / 2, begin + half);
    rig.value()->store().store_position();
  }
}

// What was read is a part of `all`, in order, and what is missing was counted.
void expect_part(const ReadBack& read, const std::vector<Event>& all) {
  auto from = all.begin();
  for (const Event& one : read.events) {
    from = std::find(from, all.end(), one);
    ASSERT_NE(from, all.end()) << one.first << " is not what was written";
    ++from;
  }
  ASSERT_EQ(read.events.size() + read.missing, all.size());
}

TEST(SpoolDamage, AnyByteChangedInAnySegmentCostsAtMostOneRecordAndIsCounted) {
  const auto all = events(12);
  MemoryDisk original(1);
  fill(original, all);
  const auto files = original.files();
  ASSERT_EQ(files.count(segment_name(1)) + files.count(segment_name(2)), 2U);
  for (const std::uint64_t number : {1U, 2U}) {
    const std::string name = segment_name(number);
    const std::string whole = files.at(name);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      SCOPED_TRACE(name + " byte " + std::to_string(i));
      MemoryDisk disk(2);
      for (const auto& [each, bytes] : files) disk.put(each, bytes);
      std::string changed = whole;
      changed[i] = static_cast<char>(static_cast<unsigned char>(changed[i]) ^ (1U << (i % 8)));
      disk.put(name, changed);
      auto rig = Rig::open(disk, kLimits);
      ASSERT_TRUE(rig) << rig.error().message;
      const auto read = rig.value()->read();
      const bool in_header = i < kSegmentHeaderBytes;
      ASSERT_GE(read.events.size(), all.size() - (in_header ? 0 : 1));
      ASSERT_EQ(read.torn, 0U);
      if (read.events.size() == all.size()) {
        ASSERT_TRUE(in_header);
        continue;
      }
      // The very last record is told from a torn tail by what the position file knows.
      ASSERT_EQ(rig.value()->append({event(99)}).records, 1U);
      auto with_more = all;
      with_more.push_back(event(99));
      expect_part(rig.value()->read(), with_more);
    }
  }
}

TEST(SpoolDamage, AnyByteChangedInThePositionFileLosesNothing) {
  const auto all = events(6);
  MemoryDisk original(1);
  fill(original, all);
  const auto files = original.files();
  const std::string whole = files.at("position");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (i == kPositionSlotBytes) i = kPositionSlotStride;  // nothing lies between
    MemoryDisk disk(2);
    for (const auto& [each, bytes] : files) disk.put(each, bytes);
    std::string changed = whole;
    changed[i] = static_cast<char>(~changed[i]);
    disk.put("position", changed);
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig) << "byte " << i << ": " << rig.error().message;
    ASSERT_EQ(rig.value()->read().events, all) << "byte " << i;
  }
}

TEST(SpoolDamage, AnyTailCutOffIsCutAtTheLastWholeRecord) {
  const auto all = events(8);
  MemoryDisk original(1);
  fill(original, all);
  const auto files = original.files();
  const std::string name = segment_name(2);
  for (std::size_t size = 0; size < files.at(name).size(); ++size) {
    SCOPED_TRACE(size);
    MemoryDisk disk(2);
    for (const auto& [each, bytes] : files) disk.put(each, bytes);
    disk.put(name, files.at(name).substr(0, size));
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig) << rig.error().message;
    const auto read = rig.value()->read();
    ASSERT_TRUE(std::equal(read.events.begin(), read.events.end(), all.begin()));
    ASSERT_LT(read.events.size(), all.size());
    if (!disk.files().contains(name)) continue;
    // What was cut is gone from the file too, and told.
    ASSERT_EQ(disk.files().at(name).size() + rig.value()->store().cut_bytes(), size);
  }
}

TEST(SpoolDamage, AMissingSegmentIsLossToTheRecord) {
  const auto all = events(8);
  MemoryDisk disk(1);
  fill(disk, all);
  disk.erase(segment_name(1));
  auto rig = Rig::open(disk, kLimits);
  ASSERT_TRUE(rig) << rig.error().message;
  const auto read = rig.value()->read();
  EXPECT_EQ(read.missing, 4U);
  EXPECT_EQ(read.torn, 0U);
  EXPECT_EQ(read.events, (std::vector<Event>(all.begin() + 4, all.end())));
}

// What the position file knows of and no segment holds was waited for until there was more.
TEST(SpoolDamage, AllSegmentsGoneAreLossAtOnce) {
  MemoryDisk disk(1);
  fill(disk, events(8));
  disk.erase(segment_name(1));
  disk.erase(segment_name(2));
  auto rig = Rig::open(disk, kLimits);
  ASSERT_TRUE(rig) << rig.error().message;
  const auto read = rig.value()->read();
  EXPECT_TRUE(read.events.empty());
  EXPECT_EQ(read.missing, 8U);
  EXPECT_EQ(read.torn, 0U);
  EXPECT_EQ(rig.value()->append({event(99)}).records, 1U);
  const auto with_more = rig.value()->read();
  EXPECT_EQ(with_more.events, (std::vector<Event>{event(99)}));
  EXPECT_EQ(with_more.missing, 8U);
}

TEST(SpoolDamage, TheNewestSegmentGoneIsLossAtOnce) {
  const auto all = events(8);
  MemoryDisk disk(1);
  fill(disk, all);
  disk.erase(segment_name(2));
  auto rig = Rig::open(disk, kLimits);
  ASSERT_TRUE(rig) << rig.error().message;
  const auto read = rig.value()->read();
  EXPECT_EQ(read.events, (std::vector<Event>(all.begin(), all.begin() + 4)));
  EXPECT_EQ(read.missing, 4U);
  EXPECT_EQ(read.torn, 0U);
}

TEST(SpoolDamage, AnotherVersionIsRefusedWithASentence) {
  for (const std::string& name : {segment_name(2), std::string("position")}) {
    MemoryDisk disk(1);
    fill(disk, events(8));
    std::string bytes = disk.files().at(name);
    // A version to come: its number, and the check over it.
    SegmentHeader header;
    PositionSlot slot;
    std::uint32_t version = 0;
    ASSERT_EQ(name == "position" ? decode(bytes, slot, version) : decode(bytes, header, version),
              Look::kGood);
    bytes.replace(0, kSegmentHeaderBytes, of_version(bytes.substr(0, kSegmentHeaderBytes), 2));
    disk.put(name, bytes);
    const auto rig = Rig::open(disk, kLimits);
    ASSERT_FALSE(rig);
    EXPECT_EQ(rig.error().kind, core::ErrorKind::kInvalid);
    EXPECT_NE(rig.error().message.find("format version 2"), std::string::npos)
        << rig.error().message;
    EXPECT_NE(rig.error().message.find(name), std::string::npos) << rig.error().message;
  }
}

TEST(SpoolDamage, AFileOfAnotherSpoolIsRefused) {
  MemoryDisk disk(1);
  MemoryDisk other(2);
  fill(disk, events(8));
  fill(other, events(8));
  disk.put(segment_name(3), other.files().at(segment_name(2)));
  const auto rig = Rig::open(disk, kLimits);
  ASSERT_FALSE(rig);
  EXPECT_NE(rig.error().message.find("another spool"), std::string::npos) << rig.error().message;
}

TEST(SpoolDamage, FramesInsideAnEventAreOnlyText) {
  MemoryDisk disk(1);
  fill(disk, events(8));
  // A segment as the value of an event: nothing in it may be taken for a record, even when the
  // frame around it is damaged.
  const std::string inner = disk.files().at(segment_name(1));
  {
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig);
    ASSERT_EQ(rig.value()->append({{"outer", inner}, event(50)}).records, 2U);
    rig.value()->store().store_position();
  }
  std::string bytes = disk.files().at(segment_name(3));
  bytes[kSegmentHeaderBytes] = static_cast<char>(~bytes[kSegmentHeaderBytes]);
  disk.put(segment_name(3), bytes);
  auto rig = Rig::open(disk, kLimits);
  ASSERT_TRUE(rig);
  const auto read = rig.value()->read();
  EXPECT_EQ(read.events.size(), 9U);
  EXPECT_EQ(read.events.back(), event(50));
  EXPECT_EQ(read.missing, 1U);
}

TEST(SpoolDamage, ALookThatFailsAtOpeningLosesNothing) {
  const auto all = events(12);
  MemoryDisk original(1);
  fill(original, all);
  int failed = 0;
  for (int failing = 1; failing == failed + 1; ++failing) {
    SCOPED_TRACE(failing);
    MemoryDisk disk(2);
    for (const auto& [name, bytes] : original.files()) disk.put(name, bytes);
    int looks = 0;
    disk.fail_when([&](std::string_view call) -> std::optional<Trouble> {
      const bool is_look = call == "read" || call == "open" || call == "size" || call == "names";
      if (!is_look || ++looks != failing) return std::nullopt;
      ++failed;
      return Trouble::kBroken;
    });
    {
      const auto rig = Rig::open(disk, kLimits);
      ASSERT_EQ(static_cast<bool>(rig), failed < failing);
      if (!rig) {
        ASSERT_EQ(rig.error().kind, core::ErrorKind::kUnavailable);
      }
    }
    disk.restart(MemoryDisk::End::kPower);
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig) << rig.error().message;
    const auto read = rig.value()->read();
    ASSERT_EQ(read.events, all);
    ASSERT_EQ(read.missing, 0U);
  }
  EXPECT_GT(failed, 10);
}

TEST(SpoolDamage, ForeignFilesInTheFolderAreLeftAlone) {
  MemoryDisk disk(1);
  disk.put("notes.txt", "mine");
  disk.put("1.segment", "not a segment's name");
  fill(disk, events(4));
  EXPECT_EQ(disk.files().at("notes.txt"), "mine");
  EXPECT_EQ(disk.files().at("1.segment"), "not a segment's name");
}

}  // namespace
}  // namespace tally::producer::spool
