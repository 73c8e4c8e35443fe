// One planning step over the store: reads the outbox and the totals, asks the pure plan, and
// writes the new rows, all in one transaction behind the planning lock. Nothing is sent here.
#pragma once

#include "core/timestamp.h"
#include "exporter/export_plan.h"
#include "exporter/export_store.h"

#include <string>
#include <vector>

namespace tally::exporter {

// A line for people about an account that got no row.
struct Remark {
  std::string tenant;
  std::string meter;
  core::Timestamp period_start;
  std::string reason;
};

struct PlanResult {
  std::vector<Series> series;
  std::vector<NewRow> rows;  // written, or with kDryRun only shown
  std::vector<Remark> held;
  std::vector<Remark> waiting;
  std::vector<std::string> not_exported;  // meters
  bool more_follows = false;              // another planning step has more once these are delivered
};

// Throws what the store throws.
[[nodiscard]] PlanResult plan_exports(ExportStore& store, core::Timestamp now,
                                      AfterRejection after_rejection, PlanMode mode);

}  // namespace tally::exporter
