// A name's first eight bytes as one number, so that most names are told apart without a call.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace tally::aggregator {

using NameHead = std::uint64_t;
inline constexpr std::size_t kNameHeadBytes = sizeof(NameHead);

// Names of at most eight bytes are equal where their sizes and heads are.
constexpr NameHead head_of(std::string_view name) {
  if (!std::is_constant_evaluated() && name.size() >= kNameHeadBytes) {
    NameHead head = 0;
    std::memcpy(&head, name.data(), sizeof(head));
    return head;
  }
  std::array<char, kNameHeadBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size() && i < name.size(); ++i) bytes[i] = name[i];
  return std::bit_cast<NameHead>(bytes);
}

// The same where eight bytes can be read from the name's begin on, whatever follows it.
inline NameHead head_of_readable(std::string_view name) {
  NameHead head = 0;
  std::memcpy(&head, name.data(), sizeof(head));
  if (name.size() >= kNameHeadBytes) return head;
  const std::size_t bits = 8 * name.size();
  if constexpr (std::endian::native == std::endian::little) {
    return head & ((NameHead{1} << bits) - 1);
  } else {
    return head & ~(~NameHead{0} >> bits);
  }
}

}  // namespace tally::aggregator
