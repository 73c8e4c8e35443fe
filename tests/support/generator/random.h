// Random numbers that are the same on every machine: std's distributions are not.
#pragma once

#include <cstdint>

namespace tally::generator {

// One step of splitmix64: a bijection that scatters its input.
[[nodiscard]] constexpr std::uint64_t scatter(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}
  constexpr std::uint64_t next() { return scatter(state_++ * 0xda942042e4dd58b5ULL); }
  // 0 <= result < bound; the bias of taking the high half of a product is below 2^-32 here.
  constexpr std::uint64_t below(std::uint64_t bound) { return ((next() >> 32U) * bound) >> 32U; }

 private:
  std::uint64_t state_;
};

}  // namespace tally::generator
