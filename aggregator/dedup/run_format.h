// A run on disk, grammar first:
//
//   run    := header block* hole? index filter tokens
//   header := one RunHeader, written last: a run that was not finished has none
//   block  := one RunBlock of 4,096 bytes: up to 240 entries, ascending over the whole run
//   index  := the key of each block's first entry, 8 bytes
//   filter := FilterBlock*
//   tokens := RunToken*, ascending
//
// Numbers are as the machine has them: a run is a cache of this machine, and a file from another
// kind of machine fails its magic. Each block has a checksum, as have the header, the index, the
// filter and the tokens; all are seeded with the run's salt, so that a block of another run or of
// another place is as wrong as a flipped bit.
#pragma once

#include "aggregator/dedup/filter.h"
#include "aggregator/dedup/log_day.h"
#include "aggregator/dedup/ordered_entry.h"
#include "aggregator/dedup/segment_token.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace tally::aggregator::dedup {

// Whose run it is.
struct RunOwner {
  std::uint64_t deployment = 0;
  std::int64_t generation = 0;
  std::int32_t partition = 0;
  friend bool operator==(const RunOwner&, const RunOwner&) = default;
};

inline constexpr std::uint64_t kRunMagic = 0x6e7572796c6c6174;  // "tallyrun" in little-endian
inline constexpr std::uint32_t kRunVersion = 1;
inline constexpr std::size_t kRunPageBytes = 4096;

struct RunToken {
  LogDay day = 0;
  SegmentToken token;
  friend auto operator<=>(const RunToken&, const RunToken&) = default;
};

struct RunSection {
  std::uint64_t offset_bytes = 0;
  std::uint64_t count = 0;     // of what the section is made of
  std::uint64_t checksum = 0;  // 0 for the blocks: each has its own
};

struct RunHeader {
  std::uint64_t magic = kRunMagic;
  std::uint32_t version = kRunVersion;
  LogDay first_day = 0;  // that a block's day 0 means
  std::uint64_t deployment = 0;
  std::int64_t generation = 0;
  std::int64_t partition = 0;
  std::uint64_t salt = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t entries = 0;
  RunSection blocks;
  RunSection index;
  RunSection filter;
  RunSection tokens;
  std::array<std::uint64_t, kDayMarks> entries_of_day{};  // from first_day on
  std::array<std::byte, 1880> zero{};
  std::uint64_t checksum = 0;  // of all before it
};
static_assert(sizeof(RunHeader) == kRunPageBytes && std::is_trivially_copyable_v<RunHeader>);

struct RunBlock {
  static constexpr std::size_t kCapacity = 240;
  std::array<OrderedEntry, kCapacity> entries{};
  std::array<std::uint8_t, kCapacity> days{};  // since the header's first_day
  std::uint32_t number = 0;                    // of this block in its run
  std::uint32_t count = 0;                     // entries in use
  std::uint64_t checksum = 0;                  // of all before it
};
static_assert(sizeof(RunBlock) == kRunPageBytes && std::is_trivially_copyable_v<RunBlock>);
static_assert(sizeof(RunToken) == 20 && std::has_unique_object_representations_v<RunToken>);

[[nodiscard]] std::uint64_t checksum_of(std::span<const std::byte> bytes, std::uint64_t seed);
template <class Page>
[[nodiscard]] std::uint64_t page_checksum(const Page& page, std::uint64_t salt) {
  const auto bytes = std::as_bytes(std::span(&page, 1));
  return checksum_of(bytes.first(sizeof(Page) - sizeof(std::uint64_t)), salt);
}

// A section's checksum runs over its pieces of this size, each seeded with the one before.
inline constexpr std::size_t kSectionPieceBytes = 256 * 1024;
static_assert(kSectionPieceBytes % kRunPageBytes == 0);

inline constexpr const char* kRunSuffix = ".run";
inline constexpr const char* kUnfinishedSuffix = ".unfinished";

}  // namespace tally::aggregator::dedup
