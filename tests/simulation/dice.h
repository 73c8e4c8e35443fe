// The only source of chance in a simulated run: one seed, one sequence.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tally::simulation {

// A SplitMix64 sequence: small, and the same on every machine. Threads: one.
class Dice {
 public:
  explicit Dice(std::uint64_t seed)
      : state_(seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  // 0 .. bound-1; 0 for a bound of 0.
  std::size_t below(std::size_t bound) {
    return bound == 0 ? 0 : static_cast<std::size_t>(next() % bound);
  }
  // Both ends included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }
  [[nodiscard]] bool one_in(std::int64_t count) {
    return count > 0 && next() % static_cast<std::uint64_t>(count) == 0;
  }
  [[nodiscard]] bool per_mille(std::int64_t chance) {
    return static_cast<std::int64_t>(next() % 1000) < chance;
  }

 private:
  std::uint64_t state_;
};

}  // namespace tally::simulation
