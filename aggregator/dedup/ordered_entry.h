// A dedup entry turned so that 64 bits of the keyed digest come first: the order in which the hot
// table and the runs keep entries, and the bits by which they are found.
//
//   key:  digest 64                      rest: home 31 | digest 17 | content check 12 | generation
//   4
//
// The place of an entry never depends on `home`: that is murmur2 of the id, which a tenant may
// choose; nobody outside knows the key of the digest. Equal keys do not mean equal identities: all
// of key and the upper 48 bits of rest are compared, so order and filters lose nothing of the 112
// bits of core/identity.h.
#pragma once

#include "core/identity.h"

#include <cstddef>
#include <cstdint>

namespace tally::aggregator::dedup {

struct OrderedEntry {
  std::uint64_t key = 0;
  std::uint64_t rest = 0;

  static constexpr int kHighDigestBits = 64 - core::kHomeBits;  // in DedupEntry::hi
  static constexpr int kKeyDigestBits = 64 - kHighDigestBits;   // of DedupEntry::lo, in key
  static constexpr int kRestLowBits = 64 - kKeyDigestBits;      // of DedupEntry::lo, in rest
  static constexpr std::uint64_t kRestLowMask = (std::uint64_t{1} << kRestLowBits) - 1;

  OrderedEntry() = default;
  constexpr OrderedEntry(std::uint64_t key_bits, std::uint64_t rest_bits)
      : key(key_bits), rest(rest_bits) {}
  constexpr explicit OrderedEntry(const core::DedupEntry& entry)
      : key(entry.hi << kKeyDigestBits | entry.lo >> kRestLowBits),
        rest((entry.hi >> kHighDigestBits) << kRestLowBits | (entry.lo & kRestLowMask)) {}

  [[nodiscard]] constexpr core::DedupEntry to_entry() const {
    return {(rest >> kRestLowBits) << kHighDigestBits | key >> kKeyDigestBits,
            key << kRestLowBits | (rest & kRestLowMask)};
  }

  // The identity's part of `rest`.
  [[nodiscard]] constexpr std::uint64_t rest_identity() const {
    return rest >> core::DedupEntry::kCheckBits;
  }
  [[nodiscard]] constexpr bool same_identity(const OrderedEntry& other) const {
    return key == other.key && rest_identity() == other.rest_identity();
  }
  [[nodiscard]] constexpr bool before(const OrderedEntry& other) const {
    return key != other.key ? key < other.key : rest_identity() < other.rest_identity();
  }
};

static_assert(core::kHomeBits == 31 && core::kDigestBits == 81 &&
                  core::DedupEntry::kCheckBits == 16,
              "the turn below is written for these widths");
static_assert(OrderedEntry::kHighDigestBits + OrderedEntry::kKeyDigestBits == 64,
              "key is digest bits only");
static_assert(OrderedEntry::kKeyDigestBits + OrderedEntry::kRestLowBits == 64);
static_assert(sizeof(OrderedEntry) == 16 && sizeof(core::DedupEntry) == 16);
static_assert(OrderedEntry(core::DedupEntry{0x123456789abcdef0, 0xfedcba9876543211}).to_entry() ==
                  core::DedupEntry{0x123456789abcdef0, 0xfedcba9876543211},
              "turning back gives every bit again");

// Monotone: a greater key is never at a lower place. 0 <= place < places.
[[nodiscard]] inline std::size_t place_of(std::uint64_t key, std::size_t places) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::size_t>(static_cast<Wide>(key) * places >> 64U);
}

}  // namespace tally::aggregator::dedup
