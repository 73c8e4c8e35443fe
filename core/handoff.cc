#include "core/handoff.h"

#include "core/check.h"
#include "core/limits.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace tally::core {

namespace {

static_assert(std::endian::native == std::endian::little);

template <class Integer>
void append_integer(Integer value, std::string& block) {
  block.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class Length>
void append_bytes(std::string_view bytes, std::string& block) {
  TALLY_CHECK(bytes.size() <= std::numeric_limits<Length>::max(), "{} bytes", bytes.size());
  append_integer(static_cast<Length>(bytes.size()), block);
  block.append(bytes);
}

std::string_view take(std::size_t size, std::string_view& rest) {
  if (rest.size() < size) throw std::runtime_error("tally.handoff holds a block that is cut short");
  const std::string_view taken = rest.substr(0, size);
  rest.remove_prefix(size);
  return taken;
}

template <class Integer>
Integer take_integer(std::string_view& rest) {
  Integer value{};
  std::memcpy(&value, take(sizeof(value), rest).data(), sizeof(value));
  return value;
}

template <class Length>
std::string_view take_bytes(std::string_view& rest) {
  return take(take_integer<Length>(rest), rest);
}

constexpr std::uint8_t kWide = 0x80;
constexpr std::size_t kNarrowMax = std::numeric_limits<std::uint16_t>::max();

// A read takes at least one block, and the largest block is one record past its bound. An empty
// header is 2 bytes of a record and 8 of a block.
static_assert(kMaxHandoffReadBytes >= kMaxHandoffBlockBytes + 5 * kMaxRecordBytes);

// Kafka bounds headers by the record's size only.
bool needs_wide(std::span<const HandoffHeader> headers) {
  return headers.size() > kNarrowMax ||
         std::any_of(headers.begin(), headers.end(),
                     [](const HandoffHeader& header) { return header.name.size() > kNarrowMax; });
}

template <class Length>
void append_headers(std::span<const HandoffHeader> headers, std::string& block) {
  TALLY_CHECK(headers.size() <= std::numeric_limits<Length>::max(), "{} headers", headers.size());
  append_integer(static_cast<Length>(headers.size()), block);
  for (const HandoffHeader& header : headers) {
    append_bytes<Length>(header.name, block);
    append_bytes<std::uint32_t>(header.value, block);
  }
}

template <class Length>
void take_headers(std::string_view& rest, std::vector<HandoffHeader>& headers) {
  headers.clear();
  for (std::size_t left = take_integer<Length>(rest); left > 0; --left) {
    const std::string_view name = take_bytes<Length>(rest);
    headers.push_back({name, take_bytes<std::uint32_t>(rest)});
  }
}

}  // namespace

void append_handoff(const HandoffRecord& record, std::string& block) {
  append_integer(record.partition, block);
  append_integer(record.offset, block);
  append_integer(record.log_time_ms, block);
  const bool wide = needs_wide(record.headers);
  const auto admission = static_cast<unsigned>(record.admission);
  append_integer(static_cast<std::uint8_t>(wide ? admission | kWide : admission), block);
  append_bytes<std::uint32_t>(record.key, block);
  append_bytes<std::uint32_t>(record.value, block);
  if (wide)
    append_headers<std::uint32_t>(record.headers, block);
  else
    append_headers<std::uint16_t>(record.headers, block);
}

Timestamp earliest_copy(std::optional<Timestamp> event_time, Timestamp log_time) {
  if (!event_time) return log_time;
  const std::int64_t ahead = event_time->micros() - (kMaxFutureBoundSeconds * 1'000'000);
  return std::min(log_time, Timestamp::from_micros(std::max<std::int64_t>(ahead, 0)));
}

std::optional<HandoffRecord> HandoffReader::next() {
  if (rest_.empty()) return std::nullopt;
  HandoffRecord record;
  record.partition = take_integer<std::int32_t>(rest_);
  record.offset = take_integer<std::int64_t>(rest_);
  record.log_time_ms = take_integer<std::int64_t>(rest_);
  const auto flags = take_integer<std::uint8_t>(rest_);
  const bool wide = (flags & kWide) != 0;
  const unsigned admission = flags & ~unsigned{kWide};
  if (admission > static_cast<std::uint8_t>(Admission::kReadmittedUnchecked))
    throw std::runtime_error("tally.handoff holds a record of a newer version of tally");
  record.admission = static_cast<Admission>(admission);
  record.key = take_bytes<std::uint32_t>(rest_);
  record.value = take_bytes<std::uint32_t>(rest_);
  if (wide)
    take_headers<std::uint32_t>(rest_, headers_);
  else
    take_headers<std::uint16_t>(rest_, headers_);
  if (wide != needs_wide(headers_))
    throw std::runtime_error("tally.handoff holds a record whose headers are stored too wide");
  record.headers = headers_;
  return record;
}

}  // namespace tally::core
