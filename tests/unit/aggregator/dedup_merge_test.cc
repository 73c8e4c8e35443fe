// The runs over time: merged, dropped with their days, and under another horizon.
#include "tests/unit/aggregator/dedup_support.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

namespace tally::aggregator::dedup {
namespace {

TEST(Runs, StayFewAndKeepEverything) {
  const TempFolder folder;
  const auto memory = opened(folder.settings());
  for (std::uint64_t run = 0; run < 40; ++run) {
    claim(*memory, run * 500, (run + 1) * 500, run);
    ASSERT_TRUE(memory->spill({}));
    ASSERT_LE(folder.runs().size(), 5U);
  }
  expect_remembered(*memory, 0, 20'000);
  expect_remembered(*memory, 20'000, 40'000, Seen::kNever);
  EXPECT_EQ(memory->size(), 20'000U);
  const auto again = opened(folder.settings());
  for (std::uint64_t run = 0; run < 40; ++run) EXPECT_TRUE(again->covers(token_of(run))) << run;
}

TEST(Runs, OfTwoClaimsInTwoRunsTheLaterStandsAfterTheMergeToo) {
  const TempFolder folder;
  const LogDay later = kToday + 4;
  const auto memory = opened(folder.settings(3));
  claim(*memory, 0, 100, 1);
  claim(*memory, 100, 400, 2,
        kToday + 1);  // keeps the run of the earlier claims from being dropped
  ASSERT_TRUE(memory->spill({}));
  memory->advance(later);
  for (std::uint64_t i = 0; i < 100; ++i) memory->insert(entry_of(i, 9), later);
  memory->committed(later, token_of(3));
  const auto all_are_the_later = [&](const Memory& of) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      ASSERT_EQ(of.probe(entry_of(i, 9), later), Seen::kSameContent) << i;
    }
  };
  ASSERT_TRUE(memory->spill({}));
  all_are_the_later(*memory);
  ASSERT_EQ(folder.runs().size(), 2U);
  for (std::uint64_t run = 0; run < 4; ++run) {
    claim(*memory, 1'000 + run * 100, 1'100 + run * 100, 10 + run, later);
    ASSERT_TRUE(memory->spill({}));
  }
  ASSERT_EQ(folder.runs().size(), 1U);
  all_are_the_later(*memory);
  all_are_the_later(*opened(folder.settings(3), all_stored, later));
}

TEST(Runs, AnOldClaimLoadedBesideAYoungRunDoesNotHideIt) {
  // The horizon was short, an identity was claimed again, and became long again.
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings(3), all_stored, kToday + 10);
    memory->insert(entry_of(1, 9), kToday + 10);
    memory->committed(kToday + 10, token_of(2));
    ASSERT_TRUE(memory->spill({}));
  }
  const auto memory = opened(folder.settings(36), all_stored, kToday + 10);
  ASSERT_TRUE(memory->covers(token_of(2)));
  restore(*memory, 1, 2, 1, kToday);
  EXPECT_EQ(memory->probe(entry_of(1, 9), kToday + 10), Seen::kSameContent);
  memory->advance(kToday + 40);
  EXPECT_EQ(memory->probe(entry_of(1, 9), kToday + 40), Seen::kSameContent);
}

TEST(Runs, ALongerHorizonFindsOldSegmentsNotCovered) {
  // A run made under a short horizon has dropped entries that now count again: it must not answer
  // for their segments.
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings(3));
    claim(*memory, 0, 1'000, 1);
    memory->advance(kToday + 3);
    claim(*memory, 1'000, 3'000, 2, kToday + 3);
    ASSERT_TRUE(memory->spill({}));
    memory->advance(kToday + 5);  // and a merge that drops
    for (std::uint64_t run = 0; run < 8; ++run) {
      claim(*memory, 5'000 + run * 500, 5'500 + run * 500, 10 + run, kToday + 5);
      ASSERT_TRUE(memory->spill({}));
    }
  }
  const auto memory = opened(folder.settings(36), all_stored, kToday + 5);
  EXPECT_FALSE(memory->covers(token_of(1)));
  EXPECT_TRUE(memory->covers(token_of(2)));
  restore(*memory, 0, 1'000, 1, kToday);
  expect_remembered(*memory, 0, 3'000, Seen::kSameContent, kToday + 5);
}

TEST(Runs, ASegmentThatExpiredWhileItWasHotIsNotNamed) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings(3));
    claim(*memory, 0, 100, 1);
    claim(*memory, 100, 200, 2, kToday + 4);  // moves the clock, and the first hundred expire
    ASSERT_TRUE(memory->spill({}));
  }
  const auto memory = opened(folder.settings(36), all_stored, kToday + 4);
  EXPECT_FALSE(memory->covers(token_of(1)));
  EXPECT_TRUE(memory->covers(token_of(2)));
}

TEST(Runs, GoWhenAllInThemHasExpired) {
  const TempFolder folder;
  const auto memory = opened(folder.settings(3));
  claim(*memory, 0, 1'000, 1);
  ASSERT_TRUE(memory->spill({}));
  memory->advance(kToday + 3);
  EXPECT_EQ(folder.runs().size(), 1U);
  expect_remembered(*memory, 0, 1'000, Seen::kSameContent, kToday + 3);
  memory->advance(kToday + 4);
  EXPECT_TRUE(folder.runs().empty());
  EXPECT_EQ(memory->size(), 0U);
  claim(*memory, 0, 1'000, 2, kToday + 4);
  expect_remembered(*memory, 0, 1'000, Seen::kSameContent, kToday + 4);
}

TEST(Runs, AnIdleYearDoesNotBringTheirDaysBack) {
  for (const LogDay gap : {37, 255, 256, 257, 292, 300, 512}) {
    const TempFolder folder;
    {
      const auto memory = opened(folder.settings());
      claim(*memory, 0, 100, 1);
      ASSERT_TRUE(memory->spill({}));
    }
    const auto memory = opened(folder.settings(), all_stored, kToday + gap);
    expect_remembered(*memory, 0, 100, Seen::kNever, kToday + gap);
    EXPECT_EQ(memory->size(), 0U) << gap;
  }
}

TEST(Runs, WhatAMergeLeftBehindIsRemoved) {
  const TempFolder folder;
  const TempFolder aside;
  {
    const auto memory = opened(folder.settings());
    for (std::uint64_t run = 0; run < 6; ++run) {
      claim(*memory, run * 500, (run + 1) * 500, run);
      ASSERT_TRUE(memory->spill({}));
      if (run == 0) std::filesystem::copy(folder.runs().at(0), aside.path());
    }
    ASSERT_EQ(folder.runs().size(), 1U);
  }
  const auto left = aside.runs().at(0);
  std::filesystem::copy(left, folder.path() / "partition-3" / left.filename());
  const auto memory = opened(folder.settings());
  EXPECT_EQ(folder.runs().size(), 1U);
  expect_remembered(*memory, 0, 3'000);
  EXPECT_EQ(memory->size(), 3'000U);
}

}  // namespace
}  // namespace tally::aggregator::dedup
