#include "aggregator/stored_memory.h"

#include "core/limits.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace tally::aggregator {
namespace {

using core::DedupEntry;
using core::PartitionId;
using dedup::Memory;
using dedup::Seen;
using dedup::SegmentToken;

constexpr LogDay kToday = 20'000;

SegmentToken token(int number) {
  SegmentToken made;
  std::memcpy(made.bytes.data(), &number, sizeof(number));
  return made;
}

DedupEntry entry_at(std::uint32_t home_bits, std::uint64_t serial) {
  return {(std::uint64_t{home_bits} << 33U) | serial, serial << DedupEntry::kCheckBits};
}

std::string bytes_of(const std::vector<DedupEntry>& entries) {
  return {reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(DedupEntry)};
}

core::Timestamp start_of(LogDay day) {
  return core::Timestamp::from_micros(std::int64_t{day} * kMicrosPerDay);
}

AcquireRequest request_for(std::int32_t partition, std::int32_t partitions) {
  AcquireRequest request;
  request.partition = PartitionId(partition);
  request.partitions = partitions;
  request.memory.horizon_days = 36;
  request.memory.partition = partition;
  return request;
}

// Whatever the two counts: an identity that one partition claimed and the other is home to now is
// only in rows that may_hold(), and every row that may_hold() has such an identity.
TEST(MayHold, AgreesWithTheHomesOfIdentities) {
  for (std::int32_t before = 1; before <= 13; ++before) {
    for (std::int32_t after = before; after <= 13; ++after) {
      std::vector<bool> shared(static_cast<std::size_t>(before * after));
      for (std::int32_t bits = 0; bits < before * after; ++bits) {
        shared[static_cast<std::size_t>((bits % before * after) + (bits % after))] = true;
      }
      for (std::int32_t writer = 0; writer < before; ++writer) {
        for (std::int32_t home = 0; home < after; ++home) {
          EXPECT_EQ(may_hold(PartitionId(writer), before, PartitionId(home), after),
                    shared[static_cast<std::size_t>((writer * after) + home)])
              << writer << " of " << before << ", " << home << " of " << after;
        }
      }
    }
  }
}

TEST(MemoryLoad, TakesWhatIsAtHome) {
  MemoryLoad load(request_for(5, 12), start_of(kToday), kToday, {{kToday, token(1), 4, 3, {}}});
  Memory memory(load.settings());
  load.begin(memory);
  ASSERT_EQ(load.needed().size(), 1U);
  const std::vector<DedupEntry> entries = {entry_at(1, 1), entry_at(5, 2), entry_at(17, 3)};
  load.add(load.needed()[0], bytes_of(entries), memory);
  EXPECT_EQ(memory.size(), 2U);
  EXPECT_EQ(memory.probe(entries[0], kToday), Seen::kNever);
  EXPECT_EQ(memory.probe(entries[1], kToday), Seen::kSameContent);
  EXPECT_EQ(memory.probe(entries[2], kToday), Seen::kSameContent);
}

TEST(MemoryLoad, ReachesFromTheNewestRowBackToTheOwnClocksHorizon) {
  const AcquireRequest request = request_for(0, 3);
  EXPECT_EQ(MemoryLoad::first_day(request, start_of(kToday), kToday), kToday - 36);
  EXPECT_EQ(MemoryLoad::first_day(request, std::nullopt, kToday), std::nullopt);
  // Others lag behind it.
  EXPECT_EQ(MemoryLoad::first_day(request, start_of(kToday), kToday - 5), kToday - 41);
  for (const auto& slowest : {std::optional<LogDay>(kToday - 15), std::optional<LogDay>()}) {
    EXPECT_EQ(MemoryLoad::first_day(request, start_of(kToday), slowest),
              kToday - 36 - core::kMaxLagDays);
  }

  const std::vector<StoredRow> rows = {{kToday + 20, token(2), 2, 1, {}},
                                       {kToday - 36, token(1), 2, 1, {}}};
  MemoryLoad lagging(request, start_of(kToday), kToday, rows);
  EXPECT_EQ(lagging.settings().kept_days, 56);
  ASSERT_EQ(lagging.needed().size(), 2U);
  EXPECT_EQ(lagging.needed()[0].day, kToday - 36);

  MemoryLoad without_clock(request, std::nullopt, kToday, rows);
  EXPECT_EQ(without_clock.settings().kept_days, dedup::kMaxHorizonDays);
  EXPECT_EQ(without_clock.needed().size(), 2U);

  MemoryLoad alone(request, start_of(kToday), kToday, {});
  EXPECT_EQ(alone.settings().kept_days, 36);
  MemoryLoad waiting(request, start_of(kToday), kToday - 5, {});
  EXPECT_EQ(waiting.settings().kept_days, 41);
}

// Days that eight bits could not tell apart are left out, not mixed up.
TEST(MemoryLoad, LeavesOutWhatNoMemoryCanHold) {
  MemoryLoad load(request_for(0, 3), std::nullopt, std::nullopt,
                  {{kToday - 400, token(1), 3, 1, {}}, {kToday, token(2), 3, 1, {}}});
  ASSERT_EQ(load.needed().size(), 1U);
  EXPECT_EQ(load.needed()[0].day, kToday);
  EXPECT_EQ(load.cut_before(), kToday - dedup::kMaxHorizonDays);
  Memory memory(load.settings());
  load.begin(memory);
  MemoryLoad whole(request_for(0, 3), std::nullopt, std::nullopt,
                   {{kToday - 200, token(1), 3, 1, {}}, {kToday, token(2), 3, 1, {}}});
  EXPECT_FALSE(whole.cut_before().has_value());
}

class CoveredRows : public testing::Test {
 protected:
  CoveredRows()
      : folder_(std::filesystem::temp_directory_path() /
                ("tally_stored_memory_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    request_ = request_for(0, 1);
    request_.memory.cache_folder = folder_;
    // A run that names the tokens 1 and 2.
    const std::vector<StoredRow> rows = {{kToday, token(1), 1, 1, {}},
                                         {kToday, token(2), 1, 1, {}}};
    MemoryLoad load(request_, start_of(kToday), kToday, rows);
    Memory memory(load.settings());
    load.begin(memory);
    for (const StoredRow& row : load.needed()) {
      std::uint64_t serial = 0;
      std::memcpy(&serial, row.token.bytes.data(), sizeof(serial));
      load.add(row, bytes_of({entry_at(1, serial)}), memory);
    }
    EXPECT_TRUE(memory.spill({}));
  }
  ~CoveredRows() override { std::filesystem::remove_all(folder_); }

  std::vector<SegmentToken> needed(const std::vector<StoredRow>& rows) {
    MemoryLoad load(request_, start_of(kToday), kToday, rows);
    Memory memory(load.settings());
    load.begin(memory);
    std::vector<SegmentToken> tokens;
    for (const StoredRow& row : load.needed()) tokens.push_back(row.token);
    remembered_ = memory.size();
    return tokens;
  }

  std::filesystem::path folder_;
  AcquireRequest request_;
  std::size_t remembered_ = 0;
};

TEST_F(CoveredRows, AreNotLoaded) {
  EXPECT_TRUE(needed({{kToday, token(1), 1, 1, {}}, {kToday, token(2), 1, 1, {}}}).empty());
  EXPECT_EQ(remembered_, 2U);
}

TEST_F(CoveredRows, AreNotLoadedAfterARollUpOfJustThem) {
  EXPECT_TRUE(needed({{kToday, token(9), 1, 2, {token(1), token(2)}}}).empty());
  EXPECT_EQ(remembered_, 2U);
}

TEST_F(CoveredRows, AreLoadedAgainWithARollUpThatHasMore) {
  EXPECT_EQ(needed({{kToday, token(9), 1, 3, {token(1), token(2), token(3)}}}),
            std::vector<SegmentToken>{token(9)});
  EXPECT_EQ(remembered_, 2U);
}

TEST_F(CoveredRows, ARunOfAnotherPastIsNotBelieved) {
  EXPECT_EQ(needed({{kToday, token(1), 1, 1, {}}}), std::vector<SegmentToken>{token(1)});
  EXPECT_EQ(remembered_, 0U);
}

TEST(MemoryLoadDeathTest, ARowOfAnotherLengthIsNotRead) {
  MemoryLoad load(request_for(0, 1), start_of(kToday), kToday, {{kToday, token(1), 1, 2, {}}});
  Memory memory(load.settings());
  load.begin(memory);
  EXPECT_DEATH(load.add(load.needed()[0], bytes_of({entry_at(1, 1)}), memory), "2 entries in 16");
}

}  // namespace
}  // namespace tally::aggregator
