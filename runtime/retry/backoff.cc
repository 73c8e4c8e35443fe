#include "runtime/retry/backoff.h"

#include "core/check.h"

#include <algorithm>

namespace tally::runtime::retry {
namespace {

// splitmix64: one addition and three mixes, good enough to spread retries apart.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

}  // namespace

Backoff::Backoff(std::chrono::milliseconds first, std::chrono::milliseconds limit,
                 std::uint64_t seed)
    : first_(first), limit_(limit), current_(first), state_(seed) {
  TALLY_CHECK(first.count() > 0 && limit >= first, "first {} ms, limit {} ms", first.count(),
              limit.count());
}

std::chrono::milliseconds Backoff::next() {
  const double unit = static_cast<double>(next_random(state_) >> 11) / 9007199254740992.0;  // 2^53
  const double wait_ms = static_cast<double>(current_.count()) * (0.5 + unit / 2);
  // Compared by halves so that doubling cannot overflow.
  current_ = current_ > limit_ / 2 ? limit_ : current_ * 2;
  return std::max(std::chrono::milliseconds(1),
                  std::chrono::milliseconds(static_cast<std::int64_t>(wait_ms)));
}

void Backoff::reset() { current_ = first_; }

}  // namespace tally::runtime::retry
