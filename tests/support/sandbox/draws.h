// Chance that depends on a seed and on what it is drawn for alone, never on what came before: the
// same request meets the same whatever runs beside it.
#pragma once

#include <cstdint>
#include <string_view>

namespace tally::sandbox {

[[nodiscard]] constexpr std::uint64_t draw(std::uint64_t seed, std::string_view what,
                                           std::uint64_t times = 0) {
  // FNV-1a, then the finalizer of splitmix64.
  std::uint64_t hash = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
  for (const char c : what) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  hash += (times + 1) * 0x9e3779b97f4a7c15U;
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31U);
}

// In [0, 1).
[[nodiscard]] constexpr double fraction_of(std::uint64_t drawn) {
  return static_cast<double>(drawn >> 11U) * 0x1p-53;
}

}  // namespace tally::sandbox
