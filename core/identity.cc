#include "core/identity.h"

#include "core/check.h"
#include "core/limits.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

namespace tally::core {
namespace {

constexpr std::uint32_t kMurmurSeed = 0x9747b28cU;
constexpr std::uint32_t kMurmurFactor = 0x5bd1e995U;

std::uint32_t byte_at(std::string_view bytes, std::size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kPartsCapacityBytes = 1024;
static_assert(4 * kLengthBytes + kMaxTenantIdBytes + kMaxSourceBytes + kMaxEventTypeBytes +
                  kMaxRequestIdBytes <=
              kPartsCapacityBytes);

// The parts one after the other, each behind its length, so that no two lists of parts are alike.
class Parts {
 public:
  void add(std::string_view part) {
    TALLY_CHECK(part.size() + kLengthBytes <= bytes_.size() - used_, "{} bytes after {}",
                part.size(), used_);
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      bytes_[used_++] = static_cast<char>(part.size() >> (8 * i) & 0xffU);
    }
    if (!part.empty()) std::memcpy(bytes_.data() + used_, part.data(), part.size());
    used_ += part.size();
  }
  [[nodiscard]] const char* data() const { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const { return used_; }

 private:
  std::array<char, kPartsCapacityBytes> bytes_;  // not zeroed: only the used part is read
  std::size_t used_ = 0;
};

constexpr std::uint64_t low_bits(int count) { return (std::uint64_t{1} << count) - 1; }

}  // namespace

std::uint32_t murmur2(std::string_view bytes) {
  auto hash = kMurmurSeed ^ static_cast<std::uint32_t>(bytes.size());
  while (bytes.size() >= 4) {
    std::uint32_t k = byte_at(bytes, 0) | byte_at(bytes, 1) << 8U | byte_at(bytes, 2) << 16U |
                      byte_at(bytes, 3) << 24U;
    k *= kMurmurFactor;
    k ^= k >> 24U;
    k *= kMurmurFactor;
    hash *= kMurmurFactor;
    hash ^= k;
    bytes.remove_prefix(4);
  }
  if (bytes.size() >= 3) hash ^= byte_at(bytes, 2) << 16U;
  if (bytes.size() >= 2) hash ^= byte_at(bytes, 1) << 8U;
  if (!bytes.empty()) {
    hash ^= byte_at(bytes, 0);
    hash *= kMurmurFactor;
  }
  hash ^= hash >> 13U;
  hash *= kMurmurFactor;
  hash ^= hash >> 15U;
  return hash;
}

IdentityHasher::IdentityHasher(const Key& key) {
  static_assert(std::tuple_size_v<decltype(secret_)> >= XXH3_SECRET_SIZE_MIN);
  const auto status = XXH3_generateSecret(secret_.data(), secret_.size(), key.data(), key.size());
  TALLY_CHECK(status == XXH_OK);
}

DedupEntry IdentityHasher::entry(std::string_view tenant, std::string_view source,
                                 std::string_view type, const HomedId& id,
                                 std::uint64_t content_check, std::int64_t generation) const {
  constexpr int kHighDigestBits = 64 - kHomeBits;
  constexpr int kLowDigestBits = kDigestBits - kHighDigestBits;
  Parts parts;
  parts.add(tenant);
  parts.add(source);
  parts.add(type);
  parts.add(id.id);
  const XXH128_hash_t digest =
      XXH3_128bits_withSecret(parts.data(), parts.size(), secret_.data(), secret_.size());
  const std::uint64_t home = id.home_bits;
  const std::uint64_t content = content_check & low_bits(kContentBits);
  const std::uint64_t generation_bits =
      static_cast<std::uint64_t>(generation) & low_bits(kGenerationBits);
  DedupEntry entry;
  entry.hi = home << kHighDigestBits | digest.high64 >> kHomeBits;
  entry.lo = (digest.low64 >> (64 - kLowDigestBits)) << DedupEntry::kCheckBits |
             content << kGenerationBits | generation_bits;
  return entry;
}

std::uint64_t IdentityHasher::fingerprint() const {
  constexpr std::string_view kWhat = "tally: the key of this deployment";
  return XXH3_64bits_withSecret(kWhat.data(), kWhat.size(), secret_.data(), secret_.size());
}

std::array<std::uint64_t, 2> IdentityHasher::digest(std::string_view bytes) const {
  const XXH128_hash_t digest =
      XXH3_128bits_withSecret(bytes.data(), bytes.size(), secret_.data(), secret_.size());
  return {digest.high64, digest.low64};
}

}  // namespace tally::core
