// The bytes of bodies that a server is receiving, all connections together, and each connection's
// part of them. For the sources of this folder only.
#pragma once

#include "core/check.h"

#include <atomic>
#include <cstdint>

namespace tally::runtime::http {

// Any thread.
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

// What one connection took. One thread; outlived by `all`.
class BodyCharge {
 public:
  BodyCharge(BytesReceiving& all, std::uint64_t limit) : all_(all), limit_(limit) {}
  ~BodyCharge() { give_back(); }
  BodyCharge(const BodyCharge&) = delete;
  BodyCharge& operator=(const BodyCharge&) = delete;

  [[nodiscard]] bool take(std::uint64_t bytes) {
    if (bytes == 0) return true;
    if (!all_.take(bytes, limit_)) return false;
    taken_ += bytes;
    return true;
  }
  void give_back() {
    if (taken_ > 0) all_.give_back(taken_);
    taken_ = 0;
  }

 private:
  BytesReceiving& all_;
  const std::uint64_t limit_;
  std::uint64_t taken_ = 0;
};

}  // namespace tally::runtime::http
