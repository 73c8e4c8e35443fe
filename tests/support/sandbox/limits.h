// What Stripe refuses for the number of calls: rates, calls in flight, two at once for one customer
// and meter; and the count of reads that Stripe budgets. Rates and flights run on a steady clock,
// so a clock that stands still stops nobody; the reads of 30 days on the sandbox's, in unix
// seconds. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace tally::sandbox {

class Limits {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // nullopt lets the call in and counts it; a refused one does not count.
  [[nodiscard]] Refused admit(std::string_view method, std::string_view path,
                              const Behaviour& behaviour, Time at);
  // A call of the stream with so many events; counted and refused likewise.
  [[nodiscard]] Refused admit_streamed(std::size_t events, const Behaviour& behaviour, Time at);
  // A call whose answer leaves at `until`.
  void enter(Time until) { calls_.insert(until); }
  // Takes the place of `series` (a customer and meter) until then, unless somebody has it.
  [[nodiscard]] Refused occupy(const std::string& series, Concurrency variant, Time at, Time until);
  void count_read(std::int64_t now);
  [[nodiscard]] nlohmann::json shown(const Behaviour& behaviour, std::int64_t now, Time at);

 private:
  // At most so many in any second: the times of those let in.
  using Window = std::deque<Time>;
  [[nodiscard]] Reply refuse(std::string_view reason, const Behaviour& behaviour);

  Window global_;
  Window streamed_;
  std::map<std::string, Window> by_endpoint_;
  std::multiset<Time> calls_;                    // in flight until
  std::map<std::string, Time> occupied_;         // series -> until
  std::map<std::int64_t, std::int64_t> reads_;   // second -> GETs let in
  std::map<std::string, std::int64_t> refused_;  // reason -> calls
  std::int64_t series_held_ = 0;                 // calls that kept others of their series out
};

// A second call at once for one customer and meter, as Stripe refuses it; kOff is not refused.
[[nodiscard]] Reply concurrent_call(Concurrency variant);

}  // namespace tally::sandbox
