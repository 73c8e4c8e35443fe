// The hot table: what it costs, how it grows, and that nobody who chooses ids can slow it down.
#include "aggregator/dedup/filter.h"
#include "aggregator/dedup/hot_table.h"
#include "tests/unit/aggregator/dedup_support.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace tally::aggregator::dedup {
namespace {

TEST(OrderedEntry, TurnsEveryBitAndBack) {
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const core::DedupEntry entry{mixed_bits(i), mixed_bits(i + 1'000'000)};
    EXPECT_EQ(OrderedEntry(entry).to_entry(), entry);
  }
  for (unsigned bit = 0; bit < 128; ++bit) {
    const core::DedupEntry entry{bit < 64 ? 1ULL << bit : 0, bit < 64 ? 0 : 1ULL << (bit - 64)};
    EXPECT_EQ(OrderedEntry(entry).to_entry(), entry) << bit;
    const OrderedEntry other(entry);
    const bool identity = bit < 64 || bit - 64 >= core::DedupEntry::kCheckBits;
    EXPECT_EQ(other.same_identity(OrderedEntry{}), !identity) << bit;
  }
}

TEST(HotTable, TheHomeBitsThatATenantChoosesDoNotMoveAnEntry) {
  // Ids with one murmur2 are easily made; they must not meet in one row of the table.
  const core::DedupEntry one{0x123456789, 0xabcdef0123456789};
  const core::DedupEntry other{one.hi | 0x7fffffffULL << 33U, one.lo};
  ASSERT_NE(one.home(), other.home());
  EXPECT_EQ(OrderedEntry(one).key, OrderedEntry(other).key);
  EXPECT_FALSE(OrderedEntry(one).same_identity(OrderedEntry(other)));

  HotTable table(36);
  constexpr std::uint64_t kEntries = 100'000;
  const auto crafted = [](std::uint64_t i) {
    core::DedupEntry entry = entry_of(i);
    entry.hi = (entry.hi & 0x1ffffffffULL) | 0x2aULL << 33U;
    return OrderedEntry(entry);
  };
  for (std::uint64_t i = 0; i < kEntries; ++i) table.insert(crafted(i), 100, 64);
  EXPECT_LE(table.bytes() * 10, kEntries * 300);
  for (std::uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(table.find(crafted(i))) << i;
  EXPECT_FALSE(table.find(crafted(kEntries)));
}

TEST(HotTable, OneRowHoldsWhateverMeetsInIt) {
  // No hash does this; the table stays right all the same, at both ends of a shard.
  for (const std::uint64_t high : {std::uint64_t{0}, ~std::uint64_t{0} << 12U}) {
    HotTable table(36);
    for (std::uint64_t i = 1; i <= 3'000; ++i) {
      table.insert(OrderedEntry(high | (i * 7 % 4'096), mixed_bits(i)), 100, 64);
    }
    EXPECT_EQ(table.size(), 3'000U);
    for (std::uint64_t i = 1; i <= 3'000; ++i) {
      ASSERT_TRUE(table.find(OrderedEntry(high | (i * 7 % 4'096), mixed_bits(i)))) << i;
      ASSERT_FALSE(table.find(OrderedEntry(high | (i * 7 % 4'096), mixed_bits(i + 5'000)))) << i;
    }
  }
}

TEST(HotTable, StaysInOrderAndKeepsEqualKeysApart) {
  HotTable table(36);
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    const std::uint64_t key = mixed_bits(i / 5);
    table.insert(OrderedEntry(key, (i % 5 + 1) << 40U), 100, 64);
  }
  std::vector<OrderedEntry> seen;
  table.for_each([&](const OrderedEntry& entry, LogDay day) {
    EXPECT_EQ(day, 100);
    seen.push_back(entry);
  });
  ASSERT_EQ(seen.size(), 5'000U);
  for (std::size_t i = 1; i < seen.size(); ++i) ASSERT_TRUE(seen[i - 1].before(seen[i])) << i;
}

TEST(HotTable, GrowsInSmallStepsAndStaysDense) {
  HotTable table(36);
  EXPECT_EQ(table.bytes(), 0U);
  table.insert(OrderedEntry(entry_of(0)), 100, 64);
  EXPECT_LT(table.bytes(), 4'096U) << "a young partition must be small";
  std::size_t before = table.bytes();
  for (std::uint64_t i = 1; i < 9'900'000; ++i) {
    table.insert(OrderedEntry(entry_of(i)), 100, 64);
    const std::size_t bytes = table.bytes();
    // Of a shard's growth by a half, a quarter or an eighth: an eighth part, and no more than that.
    const auto [tenths_an_entry, share] = i < 5'000'000   ? std::pair(300U, 15U)
                                          : i < 9'500'000 ? std::pair(250U, 30U)
                                                          : std::pair(225U, 60U);
    if (i >= 100'000) {
      ASSERT_LE(bytes * 10, (i + 1) * tenths_an_entry) << "at " << i << " entries";
      ASSERT_LE(bytes - before, bytes / share) << "at " << i << " entries";
    }
    before = bytes;
  }
}

TEST(HotTable, GivesBackWhatExpiredDaysHeld) {
  HotTable table(2);
  for (std::uint64_t i = 0; i < 100'000; ++i) table.insert(OrderedEntry(entry_of(i)), 100, 64);
  for (std::uint64_t i = 100'000; i < 110'000; ++i)
    table.insert(OrderedEntry(entry_of(i)), 101, 65);
  const std::size_t full = table.bytes();
  table.advance(103);
  EXPECT_EQ(table.size(), 10'000U);
  EXPECT_LT(table.bytes() * 5, full);
  for (std::uint64_t i = 100'000; i < 110'000; ++i) {
    ASSERT_TRUE(table.find(OrderedEntry(entry_of(i)))) << i;
  }
  ASSERT_FALSE(table.find(OrderedEntry(entry_of(1))));
  table.advance(104);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.bytes(), 0U);
}

TEST(Filter, HoldsWhatWasAddedAndFewOthers) {
  constexpr std::uint64_t kEntries = 100'000;
  const Filter filter(filter_blocks_for(kEntries));
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    const FilterProbe probe(OrderedEntry(entry_of(i)), filter.size());
    filter.blocks()[probe.block()].add(probe);
  }
  std::size_t wrongly = 0;
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    ASSERT_TRUE(filter.may_hold(FilterProbe(OrderedEntry(entry_of(i)), filter.size()))) << i;
    const OrderedEntry other(entry_of(kEntries + i));
    wrongly += filter.may_hold(FilterProbe(other, filter.size())) ? 1U : 0U;
  }
  EXPECT_LT(wrongly, kEntries * 15 / 1'000);
  EXPECT_LT(filter.bytes() * 8, kEntries * 11);
}

TEST(SegmentToken, IsWrittenAsPostgresWritesIt) {
  SegmentToken token;
  for (std::size_t i = 0; i < token.bytes.size(); ++i) token.bytes[i] = std::byte(i * 17);
  const std::string text = "00112233-4455-6677-8899-aabbccddeeff";
  EXPECT_EQ(token.to_uuid_text(), text);
  EXPECT_EQ(SegmentToken::from_uuid_text(text), token);
  EXPECT_EQ(SegmentToken::from_uuid_text("00112233-4455-6677-8899-AABBCCDDEEFF"), token);
  for (const char* wrong :
       {"", "00112233-4455-6677-8899-aabbccddeef", "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899_aabbccddeeff", "0011223g-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff0"}) {
    EXPECT_FALSE(SegmentToken::from_uuid_text(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace tally::aggregator::dedup
