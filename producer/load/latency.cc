#include "producer/load/latency.h"

#include "core/check.h"

#include <algorithm>
#include <bit>

namespace tally::producer::load {
namespace {

constexpr unsigned kExactBits = 11;
constexpr std::uint64_t kExact = 1ULL << kExactBits;  // values below have a bucket each
constexpr std::uint64_t kPerPower = kExact / 2;

unsigned shift_of(std::uint64_t value) {
  return static_cast<unsigned>(std::bit_width(value)) - kExactBits;
}

std::size_t bucket_of(std::uint64_t value) {
  if (value < kExact) return value;
  const unsigned shift = shift_of(value);
  return shift * kPerPower + (value >> shift);
}

// The largest value that falls into the bucket.
std::uint64_t top_of(std::size_t bucket) {
  if (bucket < kExact) return bucket;
  const std::uint64_t shift = bucket / kPerPower - 1;
  return ((bucket - shift * kPerPower + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram()
    : buckets_(bucket_of(static_cast<std::uint64_t>(kLongest.count())) + 1) {}

void LatencyHistogram::record(Micros latency) {
  const std::int64_t value = std::clamp(latency, Micros(0), kLongest).count();
  ++buckets_[bucket_of(static_cast<std::uint64_t>(value))];
  ++count_;
  max_ = std::max(max_, value);
}

void LatencyHistogram::clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = 0;
  max_ = 0;
}

LatencyHistogram::Micros LatencyHistogram::at(std::uint64_t thousandths) const {
  TALLY_CHECK(thousandths >= 1 && thousandths <= 1'000, "{} thousandths", thousandths);
  if (count_ == 0) return Micros(0);
  const std::uint64_t wanted = std::max<std::uint64_t>(1, (count_ * thousandths + 999) / 1'000);
  std::uint64_t seen = 0;
  std::size_t bucket = 0;
  while ((seen += buckets_[bucket]) < wanted) ++bucket;
  return Micros(std::min(static_cast<std::int64_t>(top_of(bucket)), max_));
}

}  // namespace tally::producer::load
