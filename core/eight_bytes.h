// A text looked through eight bytes at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tally::core {

// Eight bytes of a text as one number; a test's answer has the high bit set in bytes it is about,
// and in no byte before the first of them in the number's order.
using EightBytes = std::uint64_t;
inline constexpr EightBytes kEachByte = 0x0101'0101'0101'0101ULL;
inline constexpr EightBytes kHighBits = kEachByte * 0x80;

// Below 0x20. A smaller byte borrows into its high bit, unless that was set before.
constexpr EightBytes controls_of(EightBytes bytes) {
  return (bytes - kEachByte * 0x20) & ~bytes & kHighBits;
}
constexpr EightBytes equals_of(EightBytes bytes, char wanted) {
  const EightBytes other = bytes ^ (kEachByte * static_cast<unsigned char>(wanted));
  return (other - kEachByte) & ~other & kHighBits;
}
// What JSON escapes within a string.
constexpr EightBytes escaped_of(EightBytes bytes) {
  return controls_of(bytes) | equals_of(bytes, '"') | equals_of(bytes, '\\');
}
constexpr EightBytes not_ascii_of(EightBytes bytes) { return bytes & kHighBits; }

// Whether `test` finds a byte in it. It must find none in eight spaces.
template <class Test>
bool any_byte(std::string_view text, Test test) {
  if (text.empty()) return false;
  EightBytes bytes = 0;
  if (text.size() < sizeof(bytes)) {
    bytes = kEachByte * ' ';
    std::memcpy(&bytes, text.data(), text.size());
    return test(bytes) != 0;
  }
  const char* const last = text.data() + text.size() - sizeof(bytes);
  for (const char* at = text.data(); at < last; at += sizeof(bytes)) {
    std::memcpy(&bytes, at, sizeof(bytes));
    if (test(bytes) != 0) return true;
  }
  std::memcpy(&bytes, last, sizeof(bytes));  // some of them for the second time
  return test(bytes) != 0;
}

// Where in it, from `at` on, `test` finds the first byte; text.size(): nowhere. As above.
template <class Test>
std::size_t first_byte(std::string_view text, std::size_t at, Test test) {
  EightBytes bytes = 0;
  const auto place = [](EightBytes found) {
    return static_cast<std::size_t>(std::countr_zero(found)) / 8;
  };
  for (; at + sizeof(bytes) <= text.size(); at += sizeof(bytes)) {
    std::memcpy(&bytes, text.data() + at, sizeof(bytes));
    if (const EightBytes found = test(bytes); found != 0) return at + place(found);
  }
  if (at >= text.size()) return text.size();
  bytes = kEachByte * ' ';
  std::memcpy(&bytes, text.data() + at, text.size() - at);
  if (const EightBytes found = test(bytes); found != 0) return at + place(found);
  return text.size();
}
static_assert(std::endian::native == std::endian::little);

}  // namespace tally::core
