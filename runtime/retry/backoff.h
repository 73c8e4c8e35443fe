// Exponential backoff with jitter, as a value: the caller sleeps, so simulated time works too.
#pragma once

#include <chrono>
#include <cstdint>

namespace tally::runtime::retry {

class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds limit, std::uint64_t seed);
  // first, 2·first, 4·first … up to limit, each times a uniform factor in [0.5, 1).
  [[nodiscard]] std::chrono::milliseconds next();
  void reset();

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds limit_;
  std::chrono::milliseconds current_;
  std::uint64_t state_;
};

}  // namespace tally::runtime::retry
