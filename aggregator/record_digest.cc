#include "aggregator/record_digest.h"

#include <xxhash.h>

#include <cstring>
#include <memory>

namespace tally::aggregator {

RecordDigest record_digest(const runtime::kafka::Record& record) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  const std::int64_t sizes = static_cast<std::int64_t>(record.key.size());
  XXH3_128bits_update(state.get(), &record.offset, sizeof(record.offset));
  XXH3_128bits_update(state.get(), &record.log_time_ms, sizeof(record.log_time_ms));
  XXH3_128bits_update(state.get(), &sizes, sizeof(sizes));
  if (!record.key.empty()) XXH3_128bits_update(state.get(), record.key.data(), record.key.size());
  if (!record.value.empty())
    XXH3_128bits_update(state.get(), record.value.data(), record.value.size());
  XXH128_canonical_t canonical{};
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  RecordDigest digest{};
  static_assert(sizeof(canonical.digest) == sizeof(digest));
  std::memcpy(digest.data(), canonical.digest, digest.size());
  return digest;
}

}  // namespace tally::aggregator
