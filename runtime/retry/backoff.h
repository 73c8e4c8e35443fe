// Exponential backoff with jitter, as a value: the caller sleeps, so simulated time works too.
#pragma once

#include <chrono>
#include <cstdint>

namespace tally::runtime::retry {

// One thread. The same seed gives the same waits.
class Backoff {
 public:
  // 0 < first <= limit, CHECKed.
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds limit, std::uint64_t seed);
  // first, 2·first, 4·first … up to limit, each times a uniform factor in [0.5, 1); at least 1 ms.
  [[nodiscard]] std::chrono::milliseconds next();
  void reset();  // after a success: begin at `first` again

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds limit_;
  std::chrono::milliseconds current_;
  std::uint64_t state_;
};

}  // namespace tally::runtime::retry
