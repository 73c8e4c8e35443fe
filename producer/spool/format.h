// The bytes of a spool on disk, all numbers little-endian. Explained in README.md.
//
//   segment  = header frame*
//   header   = magic[8] version[4] header_bytes[4] spool_id[16] number[8] first_sequence[8]
//              opened_ms[8] zero[16] check[8]
//   frame    = check[8] body_check[8] sequence[8] at_ms[8] value_bytes[4] key_bytes[2] place[2]
//              key[key_bytes] value[value_bytes]
//   position = slot, slot at byte 4096; slot = magic[8] version[4] slot_bytes[4] spool_id[16]
//              turn[8] acked[8] kept[8] torn_begin[8] torn_end[8] check[8]
//
// Checks are XXH3-64. A frame's check is keyed by the spool's random id and the segment's number,
// so that no event can hold bytes that look like a frame, and what an old file left is no frame
// here. `place` counts the frames of one write: sequence - place is where that write began, and
// everything before it was fsynced. `at_ms` is the wall clock when the event was offered, in ms
// since 1970, for people: it orders nothing and may go back.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::producer::spool {

static_assert(std::endian::native == std::endian::little, "the file format is little-endian");

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 80;
inline constexpr std::size_t kFrameHeaderBytes = 40;
inline constexpr std::size_t kPositionSlotBytes = 80;
inline constexpr std::uint64_t kPositionSlotStride = 4096;

struct SpoolId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool operator==(const SpoolId&) const = default;
};

struct SegmentHeader {
  SpoolId spool;
  std::uint64_t number = 0;
  std::uint64_t first_sequence = 0;
  std::uint64_t opened_ms = 0;
};

struct FrameHeader {
  std::uint64_t check = 0;
  std::uint64_t body_check = 0;
  std::uint64_t sequence = 0;
  std::uint64_t at_ms = 0;
  std::uint32_t value_bytes = 0;
  std::uint16_t key_bytes = 0;
  std::uint16_t place = 0;
  [[nodiscard]] std::size_t frame_bytes() const {
    return kFrameHeaderBytes + key_bytes + value_bytes;
  }
};
static_assert(sizeof(FrameHeader) == kFrameHeaderBytes);

// What is known of the next event to be sent.
struct Position {
  std::uint64_t acked = 0;  // every sequence below has ended: with the broker, or set aside
  std::uint64_t kept = 0;   // every sequence below was fsynced at the time of writing
  // What is missing of these was in the last write before a crash, which a power cut tore: it may
  // never have been fsynced, and so is not called lost.
  std::uint64_t torn_begin = 0;
  std::uint64_t torn_end = 0;
};

struct PositionSlot {
  SpoolId spool;
  std::uint64_t turn = 0;  // the higher one is the later
  Position position;
};

enum class Look { kGood, kDamaged, kOtherVersion };

// Keys of the checks.
[[nodiscard]] std::uint64_t body_key(const SpoolId& spool);
[[nodiscard]] std::uint64_t frame_key(const SpoolId& spool, std::uint64_t segment_number);

[[nodiscard]] std::string encode(const SegmentHeader& header);
[[nodiscard]] Look decode(std::string_view bytes, SegmentHeader& header, std::uint32_t& version);
[[nodiscard]] std::string encode(const PositionSlot& slot);
[[nodiscard]] Look decode(std::string_view bytes, PositionSlot& slot, std::uint32_t& version);

// The same header or slot as a program of that version would write it. For tests.
[[nodiscard]] std::string of_version(std::string_view bytes, std::uint32_t version);

// Appends a frame that has no sequence yet: stamp() completes it, as often as it must be written.
void append_frame(std::string& out, std::string_view key, std::string_view value,
                  std::uint64_t at_ms, std::uint64_t body_key);
void stamp(char* frame, std::uint64_t sequence, std::uint16_t place, std::uint64_t frame_key);

[[nodiscard]] FrameHeader load_frame(const char* bytes);
[[nodiscard]] bool header_holds(const char* frame, std::uint64_t frame_key);
[[nodiscard]] bool body_holds(const FrameHeader& header, std::string_view body,
                              std::uint64_t body_key);

[[nodiscard]] std::string segment_name(std::uint64_t number);
[[nodiscard]] std::optional<std::uint64_t> segment_number(std::string_view name);

}  // namespace tally::producer::spool
