#include "producer/event_ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer {
namespace {

bool put(EventRing& ring, std::string_view text, std::uint64_t tag) {
  SlotHeader* slot = ring.reserve(text.size());
  if (slot == nullptr) return false;
  slot->tag = tag;
  slot->key_bytes = 0;
  slot->value_bytes = static_cast<std::uint32_t>(text.size());
  std::memcpy(slot->value(), text.data(), text.size());
  EventRing::publish(slot);
  return true;
}

std::string text_of(std::uint64_t tag) {
  return std::string(tag * 37 % 500, static_cast<char>('a' + tag % 26));
}

void expect_front(EventRing& ring, std::uint64_t tag) {
  SlotHeader* slot = ring.front();
  ASSERT_NE(slot, nullptr) << tag;
  EXPECT_EQ(slot->tag, tag);
  EXPECT_EQ(std::string(slot->value(), slot->value_bytes), text_of(tag));
  ring.pop();
}

TEST(EventRing, GivesBackInOrderAcrossItsEnd) {
  RecordersLine recorders;
  EventRing ring(4'096, recorders);
  EXPECT_EQ(ring.front(), nullptr);
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  while (out < 2'000) {
    while (put(ring, text_of(in), in)) ++in;
    EXPECT_LT(in - out, 4'096 / kLineBytes + 1);
    for (int i = 0; i < 3 && out < in; ++i) expect_front(ring, out++);
  }
}

TEST(EventRing, IsFullAtItsBytesAndTakesAgainWhenOneIsGone) {
  RecordersLine recorders;
  EventRing ring(1'024, recorders);
  const std::string line(kLineBytes - sizeof(SlotHeader), 'x');
  int taken = 0;
  while (put(ring, line, 0)) ++taken;
  EXPECT_EQ(taken, 16);
  EXPECT_FALSE(ring.has_room());
  ASSERT_NE(ring.front(), nullptr);
  ring.pop();
  EXPECT_TRUE(put(ring, line, 0));
  EXPECT_FALSE(put(ring, line, 0));
}

TEST(EventRing, AnEventThatIsBeingFilledHoldsUpThoseBehindIt) {
  RecordersLine recorders;
  EventRing ring(1'024, recorders);
  SlotHeader* slow = ring.reserve(10);
  ASSERT_NE(slow, nullptr);
  ASSERT_TRUE(put(ring, "behind", 2));
  EXPECT_EQ(ring.front(), nullptr);
  slow->tag = 1;
  slow->key_bytes = slow->value_bytes = 0;
  EventRing::publish(slow);
  ASSERT_NE(ring.front(), nullptr);
  EXPECT_EQ(ring.front()->tag, 1U);
}

// Small enough that everyone meets its end all the time.
TEST(EventRing, LosesNothingAmongManyThreads) {
  constexpr std::uint64_t kEach = 20'000;
  constexpr std::uint64_t kThreads = 3;
  RecordersLine recorders;
  EventRing ring(8'192, recorders);
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&ring, thread] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        while (!put(ring, text_of(i), thread * kEach + i)) std::this_thread::yield();
      }
    });
  }
  std::vector<std::uint64_t> next(kThreads, 0);
  for (std::uint64_t out = 0; out < kThreads * kEach;) {
    SlotHeader* slot = ring.front();
    if (slot == nullptr) {
      std::this_thread::yield();
      continue;
    }
    const std::uint64_t i = slot->tag % kEach;
    ASSERT_EQ(i, next[slot->tag / kEach]++);
    ASSERT_EQ(std::string(slot->value(), slot->value_bytes), text_of(i));
    ring.pop();
    ++out;
  }
  EXPECT_EQ(ring.front(), nullptr);
  for (std::thread& thread : threads) thread.join();
}

// A thread that had read the tail and was held up found a ring that had gone on without it: what
// was given back lay beyond what it had seen, and it called the ring full.
TEST(EventRing, IsNotCalledFullByWhatWasGivenBackMeanwhile) {
  EXPECT_TRUE(EventRing::fits(50, 900, 64));
  EXPECT_TRUE(EventRing::fits(964, 900, 64));
  EXPECT_FALSE(EventRing::fits(965, 900, 64));
}

}  // namespace
}  // namespace tally::producer
