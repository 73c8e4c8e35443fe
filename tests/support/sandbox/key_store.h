// The answers kept under idempotency keys. Times are unix seconds; in flight is counted on a steady
// clock. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tally::sandbox {

// How long a key lives in the first version of the API, and in the second.
constexpr std::int64_t kIdempotencySeconds = kDaySeconds;
constexpr std::int64_t kSecondIdempotencySeconds = 30 * kDaySeconds;

class KeyStore {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What a request under a known key gets instead of its endpoint: the kept answer, a 400 for other
  // parameters, a 409 while the first is in flight. nullopt: the key is new (again).
  [[nodiscard]] Refused answer(std::string_view key, std::string_view fingerprint, std::int64_t now,
                               Time at) const;
  // Until `until` `reply` is what the key gets; also forgets the keys whose time is over.
  void keep(const std::string& key, std::string fingerprint, Reply reply, std::int64_t now,
            std::int64_t until, Time in_flight_until);
  [[nodiscard]] std::size_t size() const { return kept_.size(); }

 private:
  struct Kept {
    std::string fingerprint;
    int status = 0;
    std::string body;  // as text, which is a tenth of the tree that it becomes
    std::map<std::string, std::string> headers;
    std::int64_t until = 0;
    Time in_flight_until;
  };
  using Keys = std::map<std::string, Kept, std::less<>>;
  Keys kept_;
  std::multimap<std::int64_t, Keys::iterator> by_end_;  // until -> each key once
};

}  // namespace tally::sandbox
