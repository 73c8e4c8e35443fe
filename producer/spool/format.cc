#include "producer/spool/format.h"

#include "core/check.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tally::producer::spool {
namespace {

constexpr std::string_view kSegmentMagic = "TLYSPOOL";
constexpr std::string_view kPositionMagic = "TLYSPPOS";
constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::size_t kSegmentDigits = 16;
constexpr std::size_t kCheckedHeaderBytes = kSegmentHeaderBytes - sizeof(std::uint64_t);
static_assert(kPositionSlotBytes == kSegmentHeaderBytes);

// Magic, version and check lie at the same places in every version to come.
struct Envelope {
  std::array<char, 8> magic{};
  std::uint32_t version = kFormatVersion;
  std::uint32_t bytes = kSegmentHeaderBytes;
  std::array<std::uint64_t, 7> fields{};
  std::uint64_t check = 0;
};
static_assert(sizeof(Envelope) == kSegmentHeaderBytes);

std::uint64_t check_of(const Envelope& envelope) {
  return XXH3_64bits(&envelope, kCheckedHeaderBytes);
}

std::string seal(std::string_view magic, const std::array<std::uint64_t, 7>& fields) {
  Envelope envelope;
  std::memcpy(envelope.magic.data(), magic.data(), envelope.magic.size());
  envelope.fields = fields;
  envelope.check = check_of(envelope);
  std::string bytes(sizeof envelope, '\0');
  std::memcpy(bytes.data(), &envelope, sizeof envelope);
  return bytes;
}

Look unseal(std::string_view bytes, std::string_view magic, Envelope& envelope) {
  if (bytes.size() < sizeof envelope) return Look::kDamaged;
  std::memcpy(&envelope, bytes.data(), sizeof envelope);
  const bool whole = std::string_view(envelope.magic.data(), envelope.magic.size()) == magic &&
                     envelope.check == check_of(envelope);
  if (!whole) return Look::kDamaged;
  return envelope.version == kFormatVersion ? Look::kGood : Look::kOtherVersion;
}

}  // namespace

std::uint64_t body_key(const SpoolId& spool) { return XXH3_64bits(&spool, sizeof spool); }

std::uint64_t frame_key(const SpoolId& spool, std::uint64_t segment_number) {
  return XXH3_64bits_withSeed(&spool, sizeof spool, segment_number + 1);
}

std::string encode(const SegmentHeader& header) {
  return seal(kSegmentMagic, {header.spool.high, header.spool.low, header.number,
                              header.first_sequence, header.opened_ms, 0, 0});
}

Look decode(std::string_view bytes, SegmentHeader& header, std::uint32_t& version) {
  Envelope envelope;
  const Look look = unseal(bytes, kSegmentMagic, envelope);
  version = envelope.version;
  const auto& fields = envelope.fields;
  header = {{fields[0], fields[1]}, fields[2], fields[3], fields[4]};
  return look;
}

std::string encode(const PositionSlot& slot) {
  return seal(kPositionMagic,
              {slot.spool.high, slot.spool.low, slot.turn, slot.position.acked, slot.position.kept,
               slot.position.torn_begin, slot.position.torn_end});
}

Look decode(std::string_view bytes, PositionSlot& slot, std::uint32_t& version) {
  Envelope envelope;
  const Look look = unseal(bytes, kPositionMagic, envelope);
  version = envelope.version;
  const auto& fields = envelope.fields;
  slot = {{fields[0], fields[1]}, fields[2], {fields[3], fields[4], fields[5], fields[6]}};
  return look;
}

std::string of_version(std::string_view bytes, std::uint32_t version) {
  Envelope envelope;
  TALLY_CHECK(bytes.size() == sizeof envelope);
  std::memcpy(&envelope, bytes.data(), sizeof envelope);
  envelope.version = version;
  envelope.check = check_of(envelope);
  std::string out(sizeof envelope, '\0');
  std::memcpy(out.data(), &envelope, sizeof envelope);
  return out;
}

void append_frame(std::string& out, std::string_view key, std::string_view value,
                  std::uint64_t at_ms, std::uint64_t body_key) {
  FrameHeader header;
  header.at_ms = at_ms;
  header.value_bytes = static_cast<std::uint32_t>(value.size());
  header.key_bytes = static_cast<std::uint16_t>(key.size());
  TALLY_CHECK(header.value_bytes == value.size() && header.key_bytes == key.size(),
              "key {} value {} bytes", key.size(), value.size());
  const std::size_t begin = out.size();
  out.resize(begin + header.frame_bytes());
  char* body = out.data() + begin + kFrameHeaderBytes;
  std::memcpy(body, key.data(), key.size());
  std::memcpy(body + key.size(), value.data(), value.size());
  header.body_check = XXH3_64bits_withSeed(body, key.size() + value.size(), body_key);
  std::memcpy(out.data() + begin, &header, sizeof header);
}

void stamp(char* frame, std::uint64_t sequence, std::uint16_t place, std::uint64_t frame_key) {
  FrameHeader header = load_frame(frame);
  header.sequence = sequence;
  header.place = place;
  std::memcpy(frame, &header, sizeof header);
  header.check = XXH3_64bits_withSeed(frame + sizeof header.check,
                                      sizeof header - sizeof header.check, frame_key);
  std::memcpy(frame, &header, sizeof header);
}

FrameHeader load_frame(const char* bytes) {
  FrameHeader header;
  std::memcpy(&header, bytes, sizeof header);
  return header;
}

bool header_holds(const char* frame, std::uint64_t frame_key) {
  std::uint64_t check = 0;
  std::memcpy(&check, frame, sizeof check);
  return check ==
         XXH3_64bits_withSeed(frame + sizeof check, kFrameHeaderBytes - sizeof check, frame_key);
}

bool body_holds(const FrameHeader& header, std::string_view body, std::uint64_t body_key) {
  return header.body_check == XXH3_64bits_withSeed(body.data(), body.size(), body_key);
}

std::string segment_name(std::uint64_t number) {
  return fmt::format("{:0{}}{}", number, kSegmentDigits, kSegmentSuffix);
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
  if (name.size() != kSegmentDigits + kSegmentSuffix.size()) return std::nullopt;
  if (!name.ends_with(kSegmentSuffix)) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = name.data() + kSegmentDigits;
  const auto [stop, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

}  // namespace tally::producer::spool
