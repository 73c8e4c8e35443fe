// What the exporter tells the outside: metrics and the reasons why it is not ready. Methods are
// past events. Thread-safe.
#pragma once

#include "core/timestamp.h"
#include "exporter/delivery_rules.h"
#include "exporter/export_store.h"
#include "exporter/planner.h"
#include "exporter/sender.h"
#include "runtime/metrics/metrics.h"

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace tally::exporter {

class Probe {
 public:
  // `overdue`: of the moment of a success, from when on the next one is missed.
  using Overdue = std::function<core::Timestamp(core::Timestamp)>;
  Probe(runtime::metrics::Registry& registry, Overdue overdue);

  void planned(const PlanResult& plan);
  void answered(const Decision& decision, std::chrono::microseconds took);
  void sent(const SendCounts& counts);
  void cycle_succeeded(core::Timestamp now, const OutboxStanding& standing);
  void cycle_failed(const std::string& reason);
  void waiting_for_other_exporter();

  // For /readyz: each a sentence; empty when the last cycle succeeded and none is overdue.
  [[nodiscard]] std::vector<std::string> reasons(core::Timestamp now) const;

 private:
  const Overdue overdue_;
  runtime::metrics::Counter rows_planned_;
  runtime::metrics::Counter cycles_;
  runtime::metrics::Counter cycle_failures_;
  runtime::metrics::Counter retries_;
  runtime::metrics::Histogram answer_seconds_;
  runtime::metrics::Gauge last_success_seconds_;
  runtime::metrics::Gauge overdue_seconds_;
  runtime::metrics::Gauge held_periods_;
  std::map<Verdict, runtime::metrics::Counter> answers_;
  std::map<RowState, runtime::metrics::Gauge> rows_open_;
  mutable std::mutex mutex_;
  std::string problem_ = "the first cycle has not ended yet";  // guarded by mutex_
  core::Timestamp last_success_;                               // guarded by mutex_
};

}  // namespace tally::exporter
