#include "aggregator/plan_texts.h"

#include "core/check.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

namespace tally::aggregator {

namespace {

// A plan of few windows stays small.
constexpr std::size_t kFirstChunkBytes = 1'024;
constexpr std::size_t kMaxChunkBytes = 65'536;

}  // namespace

std::uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

const PlanText* PlanTexts::born(std::string_view text) {
  constexpr std::size_t kMax = std::numeric_limits<std::uint32_t>::max();
  TALLY_CHECK(text.size() < kMax && texts_.size() < kMax);
  constexpr std::size_t kAlign = alignof(PlanText);
  const std::size_t bytes = (sizeof(PlanText) + text.size() + kAlign - 1) / kAlign * kAlign;
  if (bytes > free_bytes_) {
    const std::size_t usual =
        std::min(kMaxChunkBytes, kFirstChunkBytes << std::min<std::size_t>(chunks_.size(), 6));
    free_bytes_ = std::max(bytes, usual);
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(free_bytes_));
    free_ = chunks_.back().get();
    bytes_ += free_bytes_;
  }
  const auto* const made = new (free_)
      PlanText(static_cast<std::uint32_t>(text.size()), static_cast<std::uint32_t>(texts_.size()));
  if (!text.empty()) std::memcpy(free_ + sizeof(PlanText), text.data(), text.size());
  free_ += bytes;
  free_bytes_ -= bytes;
  return made;
}

}  // namespace tally::aggregator
