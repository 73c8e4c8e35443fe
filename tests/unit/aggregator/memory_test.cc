#include "aggregator/dedup/memory.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

namespace tally::aggregator::dedup {
namespace {

core::DedupEntry entry(std::uint64_t identity, std::uint32_t content = 1,
                       std::uint32_t generation = 1) {
  // Spread like a hash, so that slots are used as they are in production.
  std::uint64_t mixed = (identity + 1) * 0x9e3779b97f4a7c15ULL;
  mixed ^= mixed >> 29U;
  return {mixed, (mixed * 0xbf58476d1ce4e5b9ULL) << core::DedupEntry::kCheckBits | content << 4U |
                     generation};
}

// All hot: without a folder there are no runs.
MemorySettings hot(LogDay horizon_days) {
  return {.horizon_days = horizon_days, .cache_folder = {}};
}

TEST(Memory, TellsARetryFromAConflictAndAnotherCatalogue) {
  Memory memory(hot(36));
  EXPECT_EQ(memory.probe(entry(1), 100), Seen::kNever);
  memory.insert(entry(1, 7, 3), 100);
  EXPECT_EQ(memory.probe(entry(1, 7, 3), 100), Seen::kSameContent);
  EXPECT_EQ(memory.probe(entry(1, 8, 3), 100), Seen::kOtherContent);
  EXPECT_EQ(memory.probe(entry(1, 7, 4), 100), Seen::kOtherGeneration);
  EXPECT_EQ(memory.probe(entry(2, 7, 3), 100), Seen::kNever);
  EXPECT_EQ(memory.size(), 1U);
}

TEST(Memory, AllEntriesOfOneSlotAreFound) {
  // Identities whose low bits agree all start at one slot.
  Memory memory(hot(36));
  for (std::uint64_t i = 1; i <= 300; ++i) memory.insert({0, i << 40U}, 100);
  for (std::uint64_t i = 1; i <= 300; ++i) {
    EXPECT_EQ(memory.probe({0, i << 40U}, 100), Seen::kSameContent) << i;
  }
  EXPECT_EQ(memory.probe({0, 301ULL << 40U}, 100), Seen::kNever);
}

TEST(Memory, ForgetsByWholeDaysNeverBeforeTheHorizon) {
  Memory memory(hot(36));
  memory.advance(100);
  memory.insert(entry(1), 100);
  for (LogDay day = 100; day <= 136; ++day) {
    memory.advance(day);
    EXPECT_EQ(memory.probe(entry(1), day), Seen::kSameContent) << day;
  }
  memory.advance(137);
  EXPECT_EQ(memory.probe(entry(1), 137), Seen::kNever);
  EXPECT_EQ(memory.size(), 0U);
  memory.insert(entry(1), 137);
  EXPECT_EQ(memory.probe(entry(1), 137), Seen::kSameContent);
}

TEST(Memory, AnIdleYearDoesNotBringOldDaysBack) {
  // A day's mark has eight bits: entries must not look young again when 256 days or more passed
  // without a record.
  for (const LogDay gap : {251, 252, 253, 255, 256, 257, 260, 290, 291, 292, 293, 300, 512, 700}) {
    Memory memory(hot(36));
    memory.advance(1000);
    memory.insert(entry(1), 1000);
    memory.advance(1000 + gap);
    EXPECT_EQ(memory.probe(entry(1), 1000 + gap), Seen::kNever) << "after " << gap << " days";
    EXPECT_EQ(memory.size(), 0U) << "after " << gap << " days";
  }
}

TEST(Memory, WhatWasLoadedExpiresToo) {
  // As a restart does it: days up to the newest one are filled in, then time goes on.
  Memory memory(hot(36));
  memory.advance(1036);
  for (LogDay day = 1000; day <= 1036; ++day) memory.insert(entry(static_cast<unsigned>(day)), day);
  EXPECT_EQ(memory.size(), 37U);
  memory.advance(1040);
  EXPECT_EQ(memory.size(), 33U);
  EXPECT_EQ(memory.probe(entry(1003), 1040), Seen::kNever);
  EXPECT_EQ(memory.probe(entry(1004), 1040), Seen::kSameContent);
  memory.advance(1300);
  EXPECT_EQ(memory.size(), 0U);
}

TEST(Memory, OfTwoStoredClaimsTheLaterStands) {
  // A shorter horizon let an identity be claimed twice; with a longer one both are loaded. That
  // ended the process at every start once.
  Memory memory(hot(36));
  memory.advance(1036);
  memory.restore(entry(1, 5), 1002);
  memory.restore(entry(1, 6), 1030);
  EXPECT_EQ(memory.size(), 1U);
  memory.advance(1066);
  EXPECT_EQ(memory.probe(entry(1, 6), 1066), Seen::kSameContent);
  memory.advance(1067);
  EXPECT_EQ(memory.probe(entry(1, 6), 1067), Seen::kNever);
}

TEST(Memory, ReserveMakesRoomWithoutGrowing) {
  Memory memory(hot(36));
  memory.reserve(10'000);
  const std::size_t bytes = memory.bytes();
  for (std::uint64_t i = 0; i < 10'000; ++i) memory.insert(entry(i), 100);
  EXPECT_EQ(memory.bytes(), bytes);
  EXPECT_EQ(memory.size(), 10'000U);
}

struct Remembered {
  core::DedupEntry entry;
  LogDay day = 0;
};

// The obvious model: a map, and days compared as whole numbers.
Seen expected(const std::map<std::uint64_t, Remembered>& model, std::uint64_t identity,
              const core::DedupEntry& probe, LogDay today, LogDay horizon) {
  const auto found = model.find(identity);
  if (found == model.end() || found->second.day < today - horizon) return Seen::kNever;
  if (found->second.entry.generation() != probe.generation()) return Seen::kOtherGeneration;
  return found->second.entry.content() == probe.content() ? Seen::kSameContent
                                                          : Seen::kOtherContent;
}

void run_against_model(std::uint64_t seed, LogDay horizon) {
  std::mt19937_64 random(seed);
  Memory memory(hot(horizon));
  std::map<std::uint64_t, Remembered> model;
  LogDay today = 20'000;
  std::size_t claimed = 0;
  for (int step = 0; step < 60'000; ++step) {
    if (random() % 200 == 0) today += static_cast<LogDay>(random() % 4);
    if (random() % 6'000 == 0) today += static_cast<LogDay>(random() % 600);
    memory.advance(today);
    const std::uint64_t identity = random() % 8'000;
    const core::DedupEntry probe = entry(identity, static_cast<std::uint32_t>(random() % 2),
                                         static_cast<std::uint32_t>(today / 64 % 3));
    const Seen seen = memory.probe(probe, today);
    ASSERT_EQ(seen, expected(model, identity, probe, today, horizon))
        << "seed " << seed << " horizon " << horizon << " step " << step << " day " << today;
    if (seen != Seen::kNever) continue;
    memory.insert(probe, today);
    model[identity] = {probe, today};
    ++claimed;
  }
  EXPECT_GT(today, 20'300);
  EXPECT_GT(claimed, 8'000U);
}

TEST(Memory, AgreesWithAnObviousModel) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    run_against_model(seed, 36);
    run_against_model(seed, 2);
    run_against_model(seed, 250);
  }
}

TEST(MemoryDeathTest, ClaimingTwiceIsABug) {
  Memory memory(hot(36));
  memory.insert(entry(1), 100);
  EXPECT_DEATH(memory.insert(entry(1, 9), 100), "claimed twice");
}

TEST(MemoryDeathTest, TheHorizonIsBounded) {
  EXPECT_DEATH(Memory(hot(0)), "0 days kept");
  EXPECT_DEATH(Memory(hot(251)), "251 days kept");
}

}  // namespace
}  // namespace tally::aggregator::dedup
