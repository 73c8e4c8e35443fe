// Which entries a run may hold: a Bloom filter in blocks of one cache line, 10 bits an entry. It
// never says no to an entry that was added, so it cannot make the memory forget; it says yes to
// about one in a hundred others, which costs a read of the run and nothing else.
//
// An entry's block grows with its key, so a run that is written in order writes its filter in order
// too, one block in hand at a time. Block and bits come from the keyed digest only.
#pragma once

#include "aggregator/dedup/fetch_ahead.h"
#include "aggregator/dedup/ordered_entry.h"
#include "aggregator/dedup/page_block.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace tally::aggregator::dedup {

// The bits of one entry in its block.
class FilterProbe {
 public:
  FilterProbe(const OrderedEntry& entry, std::size_t blocks) : block_(place_of(entry.key, blocks)) {
    // What of the key did not choose the block, and the seventeen digest bits of `rest`.
    const std::uint64_t digest_rest = entry.rest_identity() & kDigestRestMask;
    std::uint64_t mixed = entry.key * blocks ^ digest_rest * 0xff51afd7ed558ccdULL;
    mixed = (mixed ^ mixed >> 32U) * 0xc4ceb9fe1a85ec53ULL;
    bits_ = mixed ^ mixed >> 29U;
  }
  [[nodiscard]] std::size_t block() const { return block_; }
  [[nodiscard]] std::size_t bit(unsigned i) const { return bits_ >> (kBitIndexBits * i) & 511U; }

  static constexpr unsigned kBits = 6;  // set in a block by each entry
  static constexpr unsigned kBitIndexBits = 9;
  static_assert(kBits * kBitIndexBits <= 64);

 private:
  static constexpr std::uint64_t kDigestRestMask =
      (std::uint64_t{1} << (core::kDigestBits - 64)) - 1;
  std::size_t block_;
  std::uint64_t bits_;
};

struct alignas(64) FilterBlock {
  std::array<std::uint64_t, 8> words{};

  void add(const FilterProbe& probe) {
    for (unsigned i = 0; i < FilterProbe::kBits; ++i) {
      words[probe.bit(i) / 64] |= std::uint64_t{1} << probe.bit(i) % 64;
    }
  }
  [[nodiscard]] bool may_hold(const FilterProbe& probe) const {
    std::uint64_t all = 1;
    for (unsigned i = 0; i < FilterProbe::kBits; ++i) {
      all &= words[probe.bit(i) / 64] >> probe.bit(i) % 64;
    }
    return all != 0;
  }
};
static_assert(sizeof(FilterBlock) * 8 == std::size_t{1} << FilterProbe::kBitIndexBits);

inline constexpr std::size_t kFilterBitsPerEntry = 10;
[[nodiscard]] constexpr std::size_t filter_blocks_for(std::size_t entries) {
  return entries * kFilterBitsPerEntry / (8 * sizeof(FilterBlock)) + 1;
}

class Filter {
 public:
  Filter() = default;
  // All zero: to be read in.
  explicit Filter(std::size_t blocks)
      : memory_(blocks * sizeof(FilterBlock) + alignof(FilterBlock)), blocks_(blocks) {}

  [[nodiscard]] FilterBlock* blocks() const {
    // A small block of memory is not on a cache line of its own.
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    const std::uintptr_t ahead = (0 - address) % alignof(FilterBlock);
    return reinterpret_cast<FilterBlock*>(memory_.data() + ahead);
  }
  void prefetch(const FilterProbe& probe) const { fetch_ahead(blocks() + probe.block()); }
  [[nodiscard]] bool may_hold(const FilterProbe& probe) const {
    return blocks()[probe.block()].may_hold(probe);
  }
  [[nodiscard]] std::size_t size() const { return blocks_; }
  [[nodiscard]] std::size_t bytes() const { return memory_.bytes(); }

 private:
  PageBlock memory_;
  std::size_t blocks_ = 0;
};

}  // namespace tally::aggregator::dedup
