#include "core/handoff.h"

#include "core/check.h"

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

}  // namespace

void append_handoff(const HandoffRecord& record, std::string& block) {
  append_integer(record.partition, block);
  append_integer(record.offset, block);
  append_integer(record.log_time_ms, block);
  append_integer(static_cast<std::uint8_t>(record.admission), block);
  append_bytes<std::uint32_t>(record.key, block);
  append_bytes<std::uint32_t>(record.value, block);
  TALLY_CHECK(record.headers.size() <= std::numeric_limits<std::uint16_t>::max(), "{} headers",
              record.headers.size());
  append_integer(static_cast<std::uint16_t>(record.headers.size()), block);
  for (const HandoffHeader& header : record.headers) {
    append_bytes<std::uint16_t>(header.name, block);
    append_bytes<std::uint32_t>(header.value, block);
  }
}

std::optional<HandoffRecord> HandoffReader::next() {
  if (rest_.empty()) return std::nullopt;
  HandoffRecord record;
  record.partition = take_integer<std::int32_t>(rest_);
  record.offset = take_integer<std::int64_t>(rest_);
  record.log_time_ms = take_integer<std::int64_t>(rest_);
  const auto admission = take_integer<std::uint8_t>(rest_);
  if (admission > static_cast<std::uint8_t>(Admission::kReadmitted))
    throw std::runtime_error("tally.handoff holds a record of a newer version of tally");
  record.admission = static_cast<Admission>(admission);
  record.key = take_bytes<std::uint32_t>(rest_);
  record.value = take_bytes<std::uint32_t>(rest_);
  headers_.resize(take_integer<std::uint16_t>(rest_));
  for (HandoffHeader& header : headers_) {
    header.name = take_bytes<std::uint16_t>(rest_);
    header.value = take_bytes<std::uint32_t>(rest_);
  }
  record.headers = headers_;
  return record;
}

}  // namespace tally::core
