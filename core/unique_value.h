// What a unique count remembers of a value: 128 bits of a keyed hash of its kind and canonical
// text, so that values of any length are remembered in 16 bytes.
//
// Exactness: in a set of n different values the chance that any two collide, and the count is one
// too low, is below n^2 / 2^129. A set of 10^9 values: 10^18 / 6.8e38, about 1.5e-21; a million
// such sets: 1.5e-15. The key is the deployment's (core/identity.h), so nobody outside can craft
// values that collide, and what is stored does not tell the values.
#pragma once

#include "core/identity.h"

#include <compare>
#include <cstdint>
#include <string_view>

namespace tally::core {

struct UniqueValue {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;
  friend constexpr auto operator<=>(const UniqueValue&, const UniqueValue&) = default;
};

// Values of different kinds are different: the number 5 and the text "5".
enum class ValueKind : char { kText = 's', kNumber = 'n', kBoolean = 'b' };

// A number's text must be canonical (Decimal::to_string): 5, 5.0 and 5e0 are one value.
[[nodiscard]] UniqueValue unique_value(const IdentityHasher& hasher, ValueKind kind,
                                       std::string_view text);

}  // namespace tally::core
