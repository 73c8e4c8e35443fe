// The runs: taken up again, judged by their segments, and never believed when damaged.
#include "aggregator/dedup/run_format.h"
#include "tests/unit/aggregator/dedup_support.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <vector>

namespace tally::aggregator::dedup {
namespace {

RunHeader header_of(const std::filesystem::path& path) {
  RunHeader header;
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  EXPECT_TRUE(file);
  return header;
}

// What `work` returns, from a process of its own; -1 when a signal ended it.
int in_a_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void limit_file_size(rlim_t bytes) {
  const rlimit limit{bytes, RLIM_INFINITY};
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(Runs, WhatIsSpilledIsAnsweredAsIfItWereHot) {
  const TempFolder folder;
  const auto memory = opened(folder.settings());
  claim(*memory, 0, 10'000, 1);
  memory->insert(entry_of(10'000, 7, 3), kToday);
  memory->committed(kToday, token_of(2));
  ASSERT_TRUE(memory->spill({}));
  EXPECT_EQ(memory->hot_bytes(), 0U);
  EXPECT_EQ(memory->size(), 10'001U);
  EXPECT_LT(memory->bytes(), 10'001U * 3);
  EXPECT_EQ(memory->disk_bytes(), std::filesystem::file_size(folder.runs().at(0)));
  expect_remembered(*memory, 0, 10'000);
  expect_remembered(*memory, 10'001, 30'000, Seen::kNever);
  EXPECT_EQ(memory->probe(entry_of(10'000, 7, 3), kToday), Seen::kSameContent);
  EXPECT_EQ(memory->probe(entry_of(10'000, 8, 3), kToday), Seen::kOtherContent);
  EXPECT_EQ(memory->probe(entry_of(10'000, 7, 4), kToday), Seen::kOtherGeneration);
  EXPECT_EQ(memory->probe(entry_of(5), kToday + 36), Seen::kSameContent);
  EXPECT_EQ(memory->probe(entry_of(5), kToday + 37), Seen::kNever);
}

TEST(Runs, ARunIsTakenUpAgainWhileItsSegmentsAreStored) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 1'000, 1);
    claim(*memory, 1'000, 2'000, 2);
    ASSERT_TRUE(memory->spill({}));
  }
  {
    const auto memory = opened(folder.settings());
    EXPECT_TRUE(memory->covers(token_of(1)));
    EXPECT_TRUE(memory->covers(token_of(2)));
    EXPECT_FALSE(memory->covers(token_of(3)));
    expect_remembered(*memory, 0, 2'000);
    memory->loaded();
    EXPECT_FALSE(memory->covers(token_of(1)));
    expect_remembered(*memory, 0, 2'000);
  }
  const auto memory =
      opened(folder.settings(), [](const SegmentToken& token) { return token != token_of(2); });
  EXPECT_FALSE(memory->covers(token_of(1)));
  expect_remembered(*memory, 0, 2'000, Seen::kNever);
  EXPECT_TRUE(folder.runs().empty());
}

TEST(Runs, NothingIsBelievedBeforeItIsAdopted) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 100, 1);
    ASSERT_TRUE(memory->spill({}));
  }
  const Memory memory(folder.settings());
  expect_remembered(memory, 0, 100, Seen::kNever);
}

TEST(Runs, SegmentsOfExpiredDaysAreNotAskedFor) {
  // Their partitions have been dropped: that is no other past.
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings(), all_stored, kToday);
    claim(*memory, 0, 100, 1, kToday - 30);
    claim(*memory, 100, 200, 2, kToday);
    ASSERT_TRUE(memory->spill({}));
  }
  const auto stored = [](const SegmentToken& token) { return token == token_of(2); };
  const auto memory = opened(folder.settings(), stored, kToday + 10);
  EXPECT_TRUE(memory->covers(token_of(2)));
  expect_remembered(*memory, 0, 100, Seen::kNever, kToday + 10);
  expect_remembered(*memory, 100, 200, Seen::kSameContent, kToday + 10);
}

TEST(Runs, OfAnotherDeploymentOrGenerationAreRemoved) {
  const TempFolder folder;
  const auto spill_one = [&](const MemorySettings& settings) {
    const auto memory = opened(settings);
    claim(*memory, 0, 100, 1);
    ASSERT_TRUE(memory->spill({}));
  };
  auto other_partition = folder.settings();
  other_partition.partition = 4;
  spill_one(other_partition);
  for (const bool deployment : {false, true}) {
    spill_one(folder.settings());
    auto other = folder.settings();
    (deployment ? other.deployment : reinterpret_cast<std::uint64_t&>(other.generation)) += 1;
    ASSERT_EQ(folder.runs().size(), 2U);
    const auto memory = opened(other);
    EXPECT_FALSE(memory->covers(token_of(1)));
    expect_remembered(*memory, 0, 100, Seen::kNever);
    EXPECT_EQ(folder.runs().size(), 1U) << "the other partition's";
  }
  EXPECT_TRUE(opened(other_partition)->covers(token_of(1)));
  // A file of another partition that was moved here.
  const auto theirs = folder.runs().at(0);
  const auto here = folder.path() / "partition-3" / theirs.filename();
  std::filesystem::create_directories(here.parent_path());
  std::filesystem::copy_file(theirs, here);
  EXPECT_FALSE(opened(folder.settings())->covers(token_of(1)));
  EXPECT_FALSE(std::filesystem::exists(here));
}

TEST(Runs, AFlippedBitInAnySectionNeverAnswers) {
  struct Place {
    const char* name;
    std::function<std::uint64_t(const RunHeader&)> byte;
    bool found_at_once;
  };
  const Place places[] = {
      {"magic", [](const RunHeader&) { return std::uint64_t{3}; }, true},
      {"header", [](const RunHeader&) { return std::uint64_t{70}; }, true},
      {"zeroes of the header", [](const RunHeader&) { return std::uint64_t{4'000}; }, true},
      {"entries", [](const RunHeader& h) { return h.blocks.offset_bytes + 4'096 + 33; }, false},
      {"days", [](const RunHeader& h) { return h.blocks.offset_bytes + 4'096 + 3'900; }, false},
      {"count", [](const RunHeader& h) { return h.blocks.offset_bytes + 4'096 + 4'084; }, false},
      {"index", [](const RunHeader& h) { return h.index.offset_bytes + 9; }, true},
      {"filter", [](const RunHeader& h) { return h.filter.offset_bytes + 77; }, true},
      {"tokens", [](const RunHeader& h) { return h.tokens.offset_bytes + 5; }, true},
  };
  for (const Place& place : places) {
    SCOPED_TRACE(place.name);
    const TempFolder folder;
    {
      const auto memory = opened(folder.settings());
      claim(*memory, 0, 1'000, 1);
      ASSERT_TRUE(memory->spill({}));
    }
    const auto run = folder.runs().at(0);
    flip_bit(run, place.byte(header_of(run)), 4);
    {
      const auto memory = opened(folder.settings());
      EXPECT_EQ(memory->covers(token_of(1)), !place.found_at_once);
      const auto probe_all = [&] { expect_remembered(*memory, 0, 1'000); };
      if (!place.found_at_once) {
        EXPECT_THROW(probe_all(), CacheBroken);
      }
      EXPECT_FALSE(std::filesystem::exists(run));
    }
    const auto memory = opened(folder.settings());
    ASSERT_FALSE(memory->covers(token_of(1)));
    restore(*memory, 0, 1'000, 1);
    expect_remembered(*memory, 0, 1'000);
  }
}

TEST(Runs, ABlockOfAnotherPlaceNeverAnswers) {
  const TempFolder folder;
  const auto memory = opened(folder.settings());
  claim(*memory, 0, 1'000, 1);
  ASSERT_TRUE(memory->spill({}));
  std::fstream file(folder.runs().at(0), std::ios::in | std::ios::out | std::ios::binary);
  std::vector<char> block(sizeof(RunBlock));
  file.seekg(sizeof(RunHeader) + sizeof(RunBlock));
  file.read(block.data(), sizeof(RunBlock));
  file.seekp(sizeof(RunHeader));
  file.write(block.data(), sizeof(RunBlock));
  file.close();
  EXPECT_THROW(expect_remembered(*memory, 0, 1'000), CacheBroken);
}

TEST(Runs, ATruncatedFileIsRemoved) {
  const TempFolder folder;
  for (const std::uint64_t tenths : {0U, 1U, 5U, 9U, 99U}) {
    {
      const auto memory = opened(folder.settings());
      claim(*memory, 0, 1'000, 1);
      ASSERT_TRUE(memory->spill({}));
    }
    const auto run = folder.runs().at(0);
    const auto bytes = std::filesystem::file_size(run);
    std::filesystem::resize_file(run, tenths == 99 ? bytes - 1 : bytes * tenths / 10);
    EXPECT_FALSE(opened(folder.settings())->covers(token_of(1))) << tenths;
    EXPECT_TRUE(folder.runs().empty()) << tenths;
  }
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 1'000, 1);
    ASSERT_TRUE(memory->spill({}));
    std::filesystem::resize_file(folder.runs().at(0), 5'000);
    EXPECT_THROW(expect_remembered(*memory, 0, 1'000), CacheBroken) << "cut while it is open";
  }
}

TEST(Runs, AFileThatGoesBadBeforeItIsAdoptedIsNotBelieved) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 1'000, 1);
    ASSERT_TRUE(memory->spill({}));
  }
  Memory memory(folder.settings());
  const auto run = folder.runs().at(0);
  std::filesystem::resize_file(run, std::filesystem::file_size(run) - 1);
  memory.advance(kToday);
  memory.adopt(kToday - 36, all_stored);
  EXPECT_FALSE(memory.covers(token_of(1)));
  EXPECT_TRUE(folder.runs().empty());
  expect_remembered(memory, 0, 1'000, Seen::kNever);
}

TEST(Runs, ACrashWhileARunIsWrittenLeavesNothing) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 1'000, 1);
    ASSERT_TRUE(memory->spill({}));
  }
  const int ended = in_a_child([&] {
    const auto memory = opened(folder.settings());
    claim(*memory, 1'000, 60'000, 2);
    limit_file_size(300'000);  // the kernel ends the process in the middle of a write
    return memory->spill({}) ? 1 : 2;
  });
  ASSERT_EQ(ended, -1);
  ASSERT_EQ(folder.files(".unfinished").size(), 1U);
  const auto memory = opened(folder.settings());
  EXPECT_TRUE(folder.files(".unfinished").empty());
  EXPECT_TRUE(memory->covers(token_of(1)));
  EXPECT_FALSE(memory->covers(token_of(2)));
  expect_remembered(*memory, 0, 1'000);
  expect_remembered(*memory, 1'000, 60'000, Seen::kNever);
}

TEST(Runs, AFullDiskLeavesTheMemoryAsItWas) {
  const TempFolder folder;
  const int ended = in_a_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 60'000, 1);
    const std::size_t hot_bytes = memory->hot_bytes();
    for (const rlim_t bytes : {rlim_t{0}, rlim_t{300'000}, rlim_t{1'100'000}}) {
      limit_file_size(bytes);
      if (memory->spill({})) return 1;
      if (memory->hot_bytes() != hot_bytes || memory->disk_bytes() != 0) return 2;
      if (!folder.runs().empty() || !folder.files(".unfinished").empty()) return 3;
      for (std::uint64_t i = 0; i < 60'000; ++i) {
        if (memory->probe(entry_of(i), kToday) != Seen::kSameContent) return 4;
      }
    }
    limit_file_size(RLIM_INFINITY);
    if (!memory->spill({})) return 5;
    return 0;
  });
  EXPECT_EQ(ended, 0);
  EXPECT_TRUE(opened(folder.settings())->covers(token_of(1)));
}

TEST(Runs, NoRoomToMergeCostsSpeedOnly) {
  const TempFolder folder;
  const int ended = in_a_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const auto memory = opened(folder.settings());
    limit_file_size(40'000);  // one portion fits, two together do not
    for (std::uint64_t run = 0; run < 9; ++run) {
      claim(*memory, run * 1'000, (run + 1) * 1'000, run);
      if (!memory->spill({})) return 1;
    }
    if (folder.runs().size() != 9) return 2;
    limit_file_size(RLIM_INFINITY);
    claim(*memory, 9'000, 10'000, 9);
    if (!memory->spill({})) return 3;
    if (folder.runs().size() > 5) return 4;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
      if (memory->probe(entry_of(i), kToday) != Seen::kSameContent) return 5;
    }
    return 0;
  });
  EXPECT_EQ(ended, 0);
}

TEST(Runs, ProvisionalEntriesAreInNoRun) {
  const TempFolder folder;
  {
    const auto memory = opened(folder.settings());
    claim(*memory, 0, 1'000, 1);
    std::vector<core::DedupEntry> provisional;
    for (std::uint64_t i = 1'000; i < 1'500; ++i) {
      memory->insert(entry_of(i), kToday);
      provisional.push_back(entry_of(i));
    }
    ASSERT_TRUE(memory->spill(provisional));
    expect_remembered(*memory, 0, 1'500);
    EXPECT_EQ(memory->size(), 1'500U);
    // Nothing else is hot: no run is made of nothing.
    ASSERT_TRUE(memory->spill(provisional));
    EXPECT_EQ(folder.runs().size(), 1U);
  }
  {
    // Their commit was given up: they are as if they had never been.
    const auto memory = opened(folder.settings());
    expect_remembered(*memory, 0, 1'000);
    expect_remembered(*memory, 1'000, 1'500, Seen::kNever);
    claim(*memory, 1'000, 1'500, 2);
    ASSERT_TRUE(memory->spill({}));
  }
  expect_remembered(*opened(folder.settings()), 0, 1'500);
}

// A memory whose first segment is of kToday, and which keeps it for a partition that lags.
std::unique_ptr<Memory> keeping(const MemorySettings& settings, LogDay today) {
  auto memory = std::make_unique<Memory>(settings);
  memory->advance(today);
  memory->adopt(today - settings.kept_days, all_stored);
  memory->loaded();
  return memory;
}

void claim_again(Memory& memory, LogDay day) {
  ASSERT_EQ(memory.probe(entry_of(5), day), Seen::kNever);
  memory.insert(entry_of(5), day);
}

// Its second claim is given up; its first is still asked for by those who lag.
TEST(Runs, WhatAProvisionalClaimReplacedIsInTheRun) {
  const TempFolder folder;
  MemorySettings settings = folder.settings();
  settings.kept_days = 50;
  {
    const auto memory = keeping(settings, kToday);
    claim(*memory, 0, 1'000, 1);
    claim_again(*memory, kToday + 38);
    ASSERT_TRUE(memory->spill(std::vector{entry_of(5)}));
    EXPECT_EQ(memory->probe(entry_of(5), kToday + 38), Seen::kSameContent);
  }
  Memory memory(settings);
  memory.advance(kToday + 37);
  memory.adopt(kToday - 13, all_stored);
  ASSERT_TRUE(memory.covers(token_of(1)));  // so nobody loads it
  expect_remembered(memory, 0, 1'000, Seen::kSameContent, kToday + 20);
  EXPECT_EQ(memory.probe(entry_of(5), kToday + 37), Seen::kNever);
}

TEST(Runs, WhatWasReplacedTakesNoMemoryOnceItIsSpilled) {
  const TempFolder folder;
  MemorySettings settings = folder.settings();
  settings.kept_days = 50;
  const auto memory = keeping(settings, kToday);
  claim(*memory, 0, 1'000, 1);
  for (std::uint64_t i = 0; i < 1'000; ++i) memory->insert(entry_of(i), kToday + 38);
  ASSERT_TRUE(memory->spill({}));
  EXPECT_EQ(memory->hot_bytes(), 0U);
}

// Of a log that stood still for long, one plan may claim an identity more than once.
TEST(Runs, OfSeveralClaimsTheLastThatIsCommittedIsInTheRun) {
  for (const std::size_t given_up : {1U, 2U, 3U}) {
    SCOPED_TRACE(given_up);
    const TempFolder folder;
    MemorySettings settings = folder.settings();
    settings.kept_days = 120;
    const LogDay days[] = {kToday, kToday + 38, kToday + 76, kToday + 114};
    const LogDay committed = days[3 - given_up];
    {
      const auto memory = keeping(settings, kToday);
      claim(*memory, 0, 1'000, 1);
      for (std::uint64_t i = 1; i < 4; ++i) {
        claim_again(*memory, days[i]);
        if (days[i] <= committed) memory->committed(days[i], token_of(i + 1));
      }
      const std::vector<core::DedupEntry> provisional(given_up, entry_of(5));
      ASSERT_TRUE(memory->spill(provisional));
      memory->insert(entry_of(1'000), days[3]);
      memory->committed(days[3], token_of(9));
      ASSERT_TRUE(memory->spill(provisional)) << "what was replaced lies in a run already";
    }
    const auto memory = keeping(settings, days[3]);
    EXPECT_EQ(memory->probe(entry_of(5), committed + 36), Seen::kSameContent);
    EXPECT_EQ(memory->probe(entry_of(5), committed + 37), Seen::kNever);
  }
}

TEST(Runs, WhatWasReplacedGoesWithItsDay) {
  const TempFolder folder;
  MemorySettings settings = folder.settings();
  settings.kept_days = 50;
  const auto memory = keeping(settings, kToday);
  claim(*memory, 0, 1'000, 1);
  claim_again(*memory, kToday + 38);
  memory->advance(kToday + 51);
  EXPECT_EQ(memory->size(), 1U);
  ASSERT_TRUE(memory->spill(std::vector{entry_of(5)}));
  EXPECT_TRUE(folder.runs().empty());
}

TEST(Runs, WithoutAFolderEverythingStaysHot) {
  Memory memory(MemorySettings{
      .horizon_days = 36, .cache_folder = {}, .deployment = 1, .partition = 1, .generation = 1});
  claim(memory, 0, 100, 1);
  EXPECT_FALSE(memory.spill({}));
  expect_remembered(memory, 0, 100);

  const TempFolder folder;
  std::ofstream(folder.path() / "partition-3") << "a file where the folder should be";
  const auto refused = opened(folder.settings());
  claim(*refused, 0, 100, 1);
  EXPECT_FALSE(refused->spill({}));
  expect_remembered(*refused, 0, 100);
}

TEST(Runs, DiscardRemovesThisPartitionOnly) {
  const TempFolder folder;
  auto other = folder.settings();
  other.partition = 4;
  for (const auto& settings : {folder.settings(), other}) {
    const auto memory = opened(settings);
    claim(*memory, 0, 100, 1);
    ASSERT_TRUE(memory->spill({}));
  }
  Memory::discard(folder.settings());
  EXPECT_FALSE(opened(folder.settings())->covers(token_of(1)));
  EXPECT_TRUE(opened(other)->covers(token_of(1)));
}

}  // namespace
}  // namespace tally::aggregator::dedup
