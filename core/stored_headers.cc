#include "core/stored_headers.h"

#include "core/check.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

namespace tally::core {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kEndOfPart = '\0';
constexpr char kEndOfLengths = '\x01';

bool fits_pairs(const HandoffHeader& header) {
  return header.name.find(kEndOfPart) == std::string_view::npos &&
         header.value.find(kEndOfPart) == std::string_view::npos;
}

void append_bytes(std::string_view bytes, std::string& text) {
  TALLY_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max(), "{} bytes", bytes.size());
  const auto size = static_cast<std::uint32_t>(bytes.size());
  text.append(reinterpret_cast<const char*>(&size), sizeof(size));
  text.append(bytes);
}

std::optional<std::string_view> take_bytes(std::string_view& rest) {
  std::uint32_t size = 0;
  if (rest.size() < sizeof(size)) return std::nullopt;
  std::memcpy(&size, rest.data(), sizeof(size));
  rest.remove_prefix(sizeof(size));
  if (rest.size() < size) return std::nullopt;
  const std::string_view taken = rest.substr(0, size);
  rest.remove_prefix(size);
  return taken;
}

std::optional<std::string_view> take_part(std::string_view& rest) {
  const std::size_t end = rest.find(kEndOfPart);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return taken;
}

}  // namespace

std::string join_headers(std::span<const HandoffHeader> headers) {
  std::string text;
  if (std::all_of(headers.begin(), headers.end(), fits_pairs)) {
    for (const HandoffHeader& header : headers) {
      text.append(header.name).push_back(kEndOfPart);
      text.append(header.value).push_back(kEndOfPart);
    }
    return text;
  }
  for (const HandoffHeader& header : headers) {
    append_bytes(header.name, text);
    append_bytes(header.value, text);
  }
  text.push_back(kEndOfLengths);
  return text;
}

Result<std::vector<HandoffHeader>> split_headers(std::string_view stored) {
  const bool lengths = stored.ends_with(kEndOfLengths);
  if (lengths) stored.remove_suffix(1);
  std::vector<HandoffHeader> headers;
  while (!stored.empty()) {
    const auto name = lengths ? take_bytes(stored) : take_part(stored);
    const auto value = !name ? std::nullopt : (lengths ? take_bytes(stored) : take_part(stored));
    if (!value) return invalid("its headers were not stored as pairs of name and value");
    headers.push_back({*name, *value});
  }
  return headers;
}

}  // namespace tally::core
