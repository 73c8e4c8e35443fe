// What the HTTP daemon tells the outside: metrics. Methods are past events. Thread-safe.
#pragma once

#include "runtime/metrics/metrics.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace tally::producer::serve {

struct EventEnds {
  std::uint64_t kept = 0;
  std::uint64_t not_kept = 0;
  std::uint64_t unknown = 0;
};

// Connections that were closed before they could send, or be answered.
struct ConnectionsClosed {
  std::uint64_t too_many = 0;
  std::uint64_t no_memory = 0;
};

class Probe {
 public:
  explicit Probe(runtime::metrics::Registry& registry);

  void answered(int status);  // any request
  // The events of a request that was accepted have ended.
  void ended(const EventEnds& ends, std::chrono::steady_clock::duration took);
  // Events of a body of which nothing was taken, by why: "invalid", "other_tenant", "full".
  void refused(const std::string& why, std::size_t events);
  // An event's end that came twice, or after its request was answered.
  void stray_end();
  void in_flight(std::uint64_t events, std::size_t requests);
  void keys(std::size_t count);
  // Since the server's start, as seen now. One thread.
  void closed(const ConnectionsClosed& so_far);

 private:
  std::map<int, runtime::metrics::Counter> answers_;  // those that are documented
  std::map<std::string, runtime::metrics::Counter> refused_;
  runtime::metrics::Counter kept_;
  runtime::metrics::Counter not_kept_;
  runtime::metrics::Counter unknown_;
  runtime::metrics::Counter stray_ends_;
  runtime::metrics::Histogram seconds_;
  runtime::metrics::Gauge events_in_flight_;
  runtime::metrics::Gauge requests_in_flight_;
  runtime::metrics::Gauge keys_;
  runtime::metrics::Counter too_many_;
  runtime::metrics::Counter no_memory_;
  ConnectionsClosed closed_;  // what the two say
};

}  // namespace tally::producer::serve
