// Bytes of bodies that are arriving: those of a whole server, or of one whose requests count
// together (Request::account).
#pragma once

#include "core/check.h"

#include <atomic>
#include <cstdint>

namespace tally::runtime::http {

// Any thread. Outlives what was taken.
class BytesReceiving {
 public:
  BytesReceiving() = default;
  ~BytesReceiving() { TALLY_CHECK(value() == 0, "{} bytes were not given back", value()); }
  BytesReceiving(const BytesReceiving&) = delete;
  BytesReceiving& operator=(const BytesReceiving&) = delete;

  // All of `bytes` or nothing; `limit` is the same each time.
  [[nodiscard]] bool take(std::uint64_t bytes, std::uint64_t limit) {
    std::uint64_t held = value();
    do {
      if (bytes > limit - held) return false;
    } while (!held_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::uint64_t bytes) {
    const std::uint64_t held = held_.fetch_sub(bytes, std::memory_order_relaxed);
    TALLY_CHECK(held >= bytes, "{} of {} bytes given back", bytes, held);
  }
  [[nodiscard]] std::uint64_t value() const { return held_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> held_{0};
};

}  // namespace tally::runtime::http
