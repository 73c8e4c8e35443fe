#include "aggregator/dedup/run_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tally::aggregator::dedup {

std::uint64_t checksum_of(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace tally::aggregator::dedup
