#include "aggregator/totals_plan.h"

#include <boost/container_hash/hash.hpp>

namespace tally::aggregator {

std::size_t WindowKeyHash::operator()(const WindowKeyView& key) const {
  std::size_t seed = std::hash<std::string_view>{}(key.tenant);
  boost::hash_combine(seed, (static_cast<std::uint64_t>(key.start_seconds) << 16U) | key.meter);
  boost::hash_combine(seed, std::hash<std::string_view>{}(key.dimensions));
  return seed;
}

}  // namespace tally::aggregator
