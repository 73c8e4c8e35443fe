// How long events took, in buckets that widen with the value as those of HdrHistogram: each of
// 1024 per power of two, so that what is read is at most 0.1 % above what was recorded, exact below
// 2 ms. One thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tally::producer::load {

class LatencyHistogram {
 public:
  using Micros = std::chrono::microseconds;
  // What is longer counts as this long: about 38 hours.
  static constexpr Micros kLongest{(std::int64_t{1} << 37) - 1};

  LatencyHistogram();
  // Less than nothing counts as nothing.
  void record(Micros latency);
  void clear();
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Micros max() const { return Micros(max_); }  // exact
  // The least value that `thousandths` (1 to 1000) of all recorded ones do not exceed; 0 when there
  // is none.
  [[nodiscard]] Micros at(std::uint64_t thousandths) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
};

}  // namespace tally::producer::load
