#include "aggregator/totals_plan.h"

#include <xxhash.h>

namespace tally::aggregator {

namespace {

// The finalizer of murmur3: every bit of the input moves every bit of the output.
std::uint64_t mixed(std::uint64_t bits) {
  bits = (bits ^ bits >> 33U) * 0xff51afd7ed558ccdULL;
  bits = (bits ^ bits >> 33U) * 0xc4ceb9fe1a85ec53ULL;
  return bits ^ bits >> 33U;
}

}  // namespace

std::uint64_t hash_of(std::string_view tenant) { return XXH3_64bits(tenant.data(), tenant.size()); }

std::uint64_t hash_of(const WindowKeyView& key, std::uint64_t tenant_hash) {
  const std::uint64_t place =
      static_cast<std::uint64_t>(key.start_seconds) << 16U | std::uint64_t{key.meter};
  return mixed(mixed(tenant_hash ^ place) ^
               XXH3_64bits(key.dimensions.data(), key.dimensions.size()));
}

}  // namespace tally::aggregator
