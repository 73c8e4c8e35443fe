// What one worker tells the outside: metrics and the reasons why it is not ready. Methods are past
// events. Thread-safe.
#pragma once

#include "aggregator/batch_plan.h"
#include "runtime/metrics/metrics.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace tally::aggregator {

class Probe {
 public:
  using Clock = std::chrono::steady_clock;
  Probe(runtime::metrics::Registry& registry, const std::string& worker);

  void committed(const BatchPlan& plan, std::chrono::duration<double> took);
  void commit_failed();
  void session_started();
  void session_ended();
  void partitions_owned(std::size_t count, std::size_t remembered, std::size_t memory_bytes);
  void progressed();  // something was committed, or there was nothing left to commit
  // A condition that keeps the worker from progressing; "" clears it. `what` names the dependency.
  void problem(const std::string& what, const std::string& sentence);

  // For /readyz: each a sentence; empty when the worker makes progress.
  [[nodiscard]] std::vector<std::string> reasons(Clock::time_point now,
                                                 std::chrono::seconds stall_limit) const;

 private:
  std::string worker_;
  std::map<std::string, runtime::metrics::Counter> classes_;
  runtime::metrics::Counter commits_;
  runtime::metrics::Counter commit_failures_;
  runtime::metrics::Counter sessions_;
  runtime::metrics::Histogram commit_seconds_;
  runtime::metrics::Gauge partitions_;
  runtime::metrics::Gauge remembered_;
  runtime::metrics::Gauge memory_bytes_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> problems_;  // guarded by mutex_
  Clock::time_point last_progress_;              // guarded by mutex_
  bool joined_ = false;                          // guarded by mutex_
};

// Of a process: counts events that a commit put under the overflow bucket of their meter's
// dimensions. Thread-safe; lives no longer than the registry.
[[nodiscard]] std::function<void(std::int64_t)> dimension_overflow_counter(
    runtime::metrics::Registry& registry);

}  // namespace tally::aggregator
