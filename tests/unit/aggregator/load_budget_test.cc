// Loading keeps to the memory budget: what a large partition remembers goes to the local disk as it
// comes, and every bit of it is still remembered.
#include "aggregator/stored_memory.h"
#include "tests/unit/aggregator/dedup_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace tally::aggregator {
namespace {

using dedup::kToday;

constexpr std::uint64_t kRows = 40;
constexpr std::int64_t kEntriesPerRow = 5'000;
constexpr std::size_t kBudgetBytes = std::size_t{512} * 1024;  // of 4 MB that all would take

std::string entries_of(std::uint64_t row) {
  std::string bytes;
  for (std::uint64_t i = 0; i < std::uint64_t{kEntriesPerRow}; ++i) {
    const core::DedupEntry entry = dedup::entry_of(row * kEntriesPerRow + i);
    bytes.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  }
  return bytes;
}

std::vector<StoredRow> all_rows() {
  std::vector<StoredRow> rows;
  for (std::uint64_t row = 0; row < kRows; ++row) {
    rows.push_back(
        {kToday - static_cast<LogDay>(row % 30), dedup::token_of(row), 1, kEntriesPerRow, {}});
  }
  return rows;
}

std::uint64_t number_of(const dedup::SegmentToken& token) {
  std::uint64_t words[2];
  std::memcpy(words, token.bytes.data(), sizeof(words));
  return words[1];
}

struct Loaded {
  std::size_t most_hot_bytes = 0;
  std::size_t rows = 0;
};

Loaded load_all(MemoryLoad& load, dedup::Memory& memory) {
  Loaded loaded{memory.hot_bytes(), load.needed().size()};
  for (const StoredRow& row : load.needed()) {
    load.add(row, entries_of(number_of(row.token)), memory);
    loaded.most_hot_bytes = std::max(loaded.most_hot_bytes, memory.hot_bytes());
  }
  return loaded;
}

AcquireRequest request_with(const dedup::TempFolder& folder) {
  AcquireRequest request;
  request.partition = core::PartitionId(0);
  request.partitions = 1;
  request.memory = folder.settings();
  request.hot_budget_bytes = kBudgetBytes;
  return request;
}

core::Timestamp noon() {
  return core::Timestamp::from_micros(std::int64_t{kToday} * kMicrosPerDay + kMicrosPerDay / 2);
}

TEST(LoadBudget, WhatIsBeyondItLiesOnDiskAndIsRemembered) {
  const dedup::TempFolder folder;
  MemoryLoad load(request_with(folder), noon(), log_day_of(noon()), all_rows());
  dedup::Memory memory(load.settings());
  load.begin(memory);
  const Loaded loaded = load_all(load, memory);
  EXPECT_EQ(loaded.rows, kRows);
  EXPECT_LE(loaded.most_hot_bytes, kBudgetBytes);
  EXPECT_FALSE(folder.runs().empty());
  dedup::expect_remembered(memory, 0, kRows * kEntriesPerRow);
}

TEST(LoadBudget, TheNextLoadTakesTheRunsOfThisOne) {
  const dedup::TempFolder folder;
  {
    MemoryLoad load(request_with(folder), noon(), log_day_of(noon()), all_rows());
    dedup::Memory memory(load.settings());
    load.begin(memory);
    load_all(load, memory);
  }
  MemoryLoad load(request_with(folder), noon(), log_day_of(noon()), all_rows());
  dedup::Memory memory(load.settings());
  load.begin(memory);
  EXPECT_LT(load_all(load, memory).rows, kRows / 4);
  dedup::expect_remembered(memory, 0, kRows * kEntriesPerRow);
}

TEST(LoadBudget, WithoutAFolderAllStaysInMemory) {
  AcquireRequest request;
  request.partition = core::PartitionId(0);
  request.partitions = 1;
  request.memory.horizon_days = 36;
  request.hot_budget_bytes = kBudgetBytes;
  MemoryLoad load(request, noon(), log_day_of(noon()), all_rows());
  dedup::Memory memory(load.settings());
  load.begin(memory);
  EXPECT_GT(load_all(load, memory).most_hot_bytes, kBudgetBytes);
  dedup::expect_remembered(memory, 0, kRows * kEntriesPerRow);
}

}  // namespace
}  // namespace tally::aggregator
