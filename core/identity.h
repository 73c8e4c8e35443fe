// Who a record is: its home partition and its 128-bit dedup entry.
//
//   hi:  home 31 | digest, high 33        lo:  digest, low 48 | content check 12 | catalogue
//   generation 4
//
// Two records are the same request when home and digest agree (112 bits). With n identities
// remembered the chance that any two different ones collide is below n^2 / 2^113 (home and digest
// behave as random bits): 10^10 entries: 10^20 / 1.04e34, about 1e-14. The content check tells a
// retry (same) from a conflict.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tally::core {

// The 32-bit murmur2 of Kafka's Java client (seed 0x9747b28c), librdkafka's `murmur2` partitioner.
[[nodiscard]] std::uint32_t murmur2(std::string_view bytes);
// murmur2(id) & 0x7fffffff; home(id) = home_bits(id) % partitions.
[[nodiscard]] inline std::uint32_t home_bits(std::string_view id) {
  return murmur2(id) & 0x7fffffffU;
}

inline constexpr int kHomeBits = 31;
inline constexpr int kDigestBits = 81;
inline constexpr int kContentBits = 12;
inline constexpr int kGenerationBits = 4;
static_assert(kHomeBits + kDigestBits + kContentBits + kGenerationBits == 128);
static_assert(kDigestBits >= 80, "the design asks for at least 80 further bits of a strong hash");

struct DedupEntry {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;

  static constexpr int kCheckBits = kContentBits + kGenerationBits;
  [[nodiscard]] constexpr std::uint32_t home() const {
    return static_cast<std::uint32_t>(hi >> 33U);
  }
  [[nodiscard]] constexpr std::uint32_t content() const {
    return static_cast<std::uint32_t>(lo >> 4U) & 0xfffU;
  }
  [[nodiscard]] constexpr std::uint32_t generation() const {
    return static_cast<std::uint32_t>(lo & 0xfU);
  }
  [[nodiscard]] constexpr bool same_identity(const DedupEntry& other) const {
    return hi == other.hi && (lo >> kCheckBits) == (other.lo >> kCheckBits);
  }
  friend constexpr auto operator<=>(const DedupEntry&, const DedupEntry&) = default;
};

// Keyed hashing of identities. The key (32 random bytes, made once per database) keeps one tenant
// from crafting an id that collides with another's. Thread-safe after construction; const
// throughout.
class IdentityHasher {
 public:
  using Key = std::array<std::byte, 32>;
  explicit IdentityHasher(const Key& key);

  // Each part is hashed with its length, so ("ab","c") and ("a","bc") differ. `content_check` and
  // `generation` are cut to their widths.
  [[nodiscard]] DedupEntry entry(std::string_view tenant, std::string_view source,
                                 std::string_view type, std::string_view id,
                                 std::uint64_t content_check, std::int64_t generation) const {
    return entry(tenant, source, type, {id, home_bits(id)}, content_check, generation);
  }
  // The same for who knows where the id is at home.
  struct HomedId {
    std::string_view id;
    std::uint32_t home_bits = 0;
  };
  [[nodiscard]] DedupEntry entry(std::string_view tenant, std::string_view source,
                                 std::string_view type, const HomedId& id,
                                 std::uint64_t content_check, std::int64_t generation) const;

  // Names the key without telling it: what was hashed under another key is not ours.
  [[nodiscard]] std::uint64_t fingerprint() const;

  // 128 bits of the same keyed hash over any bytes, for what is no identity: high, then low.
  [[nodiscard]] std::array<std::uint64_t, 2> digest(std::string_view bytes) const;

 private:
  std::array<std::byte, 192> secret_{};
};

}  // namespace tally::core
