#include "core/unique_value.h"

#include "core/check.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string>

namespace tally::core {

UniqueHasher::UniqueHasher(const IdentityHasher::Key& key) {
  static_assert(std::tuple_size_v<decltype(secret_)> >= XXH3_SECRET_SIZE_MIN);
  const auto status = XXH3_generateSecret(secret_.data(), secret_.size(), key.data(), key.size());
  TALLY_CHECK(status == XXH_OK);
}

UniqueValue UniqueHasher::value(ValueKind kind, std::string_view text) const {
  std::string bytes;
  bytes.reserve(text.size() + 1);
  bytes += static_cast<char>(kind);
  bytes += text;
  const XXH128_hash_t hash =
      XXH3_128bits_withSecret(bytes.data(), bytes.size(), secret_.data(), secret_.size());
  return {hash.high64, hash.low64};
}

}  // namespace tally::core
