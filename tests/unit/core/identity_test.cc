#include "core/identity.h"
#include "core/limits.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::core {
namespace {

IdentityHasher::Key key_of(unsigned char first) {
  IdentityHasher::Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<std::byte>(first + static_cast<unsigned char>(i));
  }
  return key;
}

TEST(Murmur2, AgreesWithKafkasJavaClient) {
  const std::vector<std::pair<std::string, std::int32_t>> vectors = {
      {"21", -973932308},
      {"foobar", -790332482},
      {"a-little-bit-long-string", -985981536},
      {"a-little-bit-longer-string", -1486304829},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
      {"abc", 479470107},
  };
  for (const auto& [text, expected] : vectors) {
    EXPECT_EQ(static_cast<std::int32_t>(murmur2(text)), expected) << text;
  }
}

TEST(Murmur2, HomeBitsDropTheSign) {
  EXPECT_EQ(home_bits("21"), static_cast<std::uint32_t>(-973932308) & 0x7fffffffU);
  EXPECT_EQ(home_bits("abc"), 479470107U);
}

TEST(Murmur2, BytesAreUnsigned) {
  // Java masks each byte with 0xff: a sign extension would set the higher bytes of the word.
  std::set<std::uint32_t> seen;
  for (int byte = 0; byte < 256; ++byte) {
    seen.insert(murmur2(std::string(1, static_cast<char>(byte))));
    seen.insert(murmur2("abc" + std::string(1, static_cast<char>(byte))));
  }
  EXPECT_EQ(seen.size(), 512U);
}

TEST(Identity, LaysItsBitsOutAsTheHeaderSays) {
  const IdentityHasher hasher(key_of(1));
  const DedupEntry entry = hasher.entry("t", "s", "y", "abc", 0xabcU, 0x5);
  EXPECT_EQ(entry.home(), 479470107U);
  EXPECT_EQ(entry.hi >> 33U, 479470107U);
  EXPECT_EQ(entry.content(), 0xabcU);
  EXPECT_EQ(entry.generation(), 0x5U);
  EXPECT_EQ(entry.lo & 0xffffU, 0xabc5U);
}

TEST(Identity, ContentAndGenerationAreCutAndTouchNothingElse) {
  const IdentityHasher hasher(key_of(1));
  const DedupEntry plain = hasher.entry("t", "s", "y", "id", 0, 0);
  const DedupEntry full = hasher.entry("t", "s", "y", "id", ~std::uint64_t{0}, -1);
  EXPECT_EQ(full.hi, plain.hi);
  EXPECT_EQ(full.lo, plain.lo | 0xffffU);
  EXPECT_TRUE(full.same_identity(plain));
  EXPECT_NE(full, plain);
  EXPECT_EQ(hasher.entry("t", "s", "y", "id", 0x1001, 0x11).content(), 1U);
  EXPECT_EQ(hasher.entry("t", "s", "y", "id", 0x1001, 0x11).generation(), 1U);
}

TEST(Identity, EachPartCountsAndBordersAreKept) {
  const IdentityHasher hasher(key_of(1));
  const std::vector<std::vector<std::string>> parts = {
      {"ab", "c", "d", "id"}, {"a", "bc", "d", "id"}, {"abc", "", "d", "id"},
      {"", "abc", "d", "id"}, {"ab", "", "cd", "id"}, {"ab", "cd", "", "id"},
      {"a", "b", "cd", "id"}, {"c", "ab", "d", "id"}, {"", "", "abcd", "id"},
      {"ab", "c", "di", "d"}, {"ab", "c", "", "did"},
  };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (std::size_t j = 0; j < parts.size(); ++j) {
      const auto a = hasher.entry(parts[i][0], parts[i][1], parts[i][2], parts[i][3], 0, 0);
      const auto b = hasher.entry(parts[j][0], parts[j][1], parts[j][2], parts[j][3], 0, 0);
      EXPECT_EQ(a.same_identity(b), i == j) << i << " " << j;
      // The home is the id's alone; the digest must differ by itself.
      if (i == j || parts[i][3] != parts[j][3]) continue;
      EXPECT_NE(a.lo >> 16U, b.lo >> 16U);
    }
  }
}

TEST(Identity, TheLongestPartsFit) {
  const IdentityHasher hasher(key_of(1));
  const std::string tenant(kMaxTenantIdBytes, 't');
  const std::string source(kMaxSourceBytes, 's');
  const std::string type(kMaxEventTypeBytes, 'y');
  const std::string id(kMaxRequestIdBytes, 'i');
  const DedupEntry entry = hasher.entry(tenant, source, type, id, 0, 0);
  EXPECT_EQ(entry, hasher.entry(tenant, source, type, id, 0, 0));
  std::string other = id;
  other.back() = 'j';
  EXPECT_FALSE(entry.same_identity(hasher.entry(tenant, source, type, other, 0, 0)));
}

TEST(Identity, TheKeyDecides) {
  const DedupEntry one = IdentityHasher(key_of(1)).entry("t", "s", "y", "id", 0, 0);
  EXPECT_EQ(one, IdentityHasher(key_of(1)).entry("t", "s", "y", "id", 0, 0));
  IdentityHasher::Key last_bit = key_of(1);
  last_bit.back() ^= std::byte{1};
  EXPECT_FALSE(one.same_identity(IdentityHasher(last_bit).entry("t", "s", "y", "id", 0, 0)));
}

// Entries are stored for weeks: what a build writes today a later one must recognise.
TEST(Identity, TheStoredFormIsPinned) {
  const DedupEntry entry =
      IdentityHasher(key_of(0)).entry("tenant-1", "/checkout", "api.request", "req-1", 7, 2);
  EXPECT_EQ(entry.hi, 0x3ad9e156a04babffULL);
  EXPECT_EQ(entry.lo, 0x58e63227efce0072ULL);
}

TEST(Identity, EveryDigestBitIsUsed) {
  const IdentityHasher hasher(key_of(9));
  std::uint64_t hi_ones = 0, lo_ones = 0;
  std::uint64_t hi_zeros = 0, lo_zeros = 0;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (int i = 0; i < 20'000; ++i) {
    const DedupEntry entry =
        hasher.entry("tenant", "/service", "api.request", std::to_string(i), 0, 0);
    hi_ones |= entry.hi;
    lo_ones |= entry.lo;
    hi_zeros |= ~entry.hi;
    lo_zeros |= ~entry.lo;
    seen.emplace(entry.hi, entry.lo);
  }
  EXPECT_EQ(seen.size(), 20'000U);
  EXPECT_EQ(std::popcount(hi_ones) + std::popcount(lo_ones), kHomeBits + kDigestBits);
  EXPECT_EQ(std::popcount(hi_zeros) + std::popcount(lo_zeros), 128);
}

TEST(Identity, OversizedPartsAreABug) {
  const IdentityHasher hasher(key_of(1));
  const std::string huge(2000, 'x');
  EXPECT_DEATH(static_cast<void>(hasher.entry("t", "s", "y", huge, 0, 0)), "2000 bytes");
}

}  // namespace
}  // namespace tally::core
