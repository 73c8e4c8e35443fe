// The final account of a run, for people (aligned) and programs (JSON).
#pragma once

#include "exporter/export_store.h"
#include "exporter/planner.h"
#include "exporter/read_back.h"
#include "exporter/sender.h"

#include <string>
#include <vector>

namespace tally::exporter {

struct Account {
  std::size_t rows_planned = 0;           // born in this run
  ReadBackCounts read_back;               // of this run
  SendCounts sent;                        // of this run
  OutboxStanding standing;                // of the whole outbox, at the end
  std::vector<Remark> held;               // periods
  std::vector<Remark> waiting;            // periods
  std::vector<std::string> not_exported;  // meters
  std::string stopped_because;

  // Everything that is due is delivered.
  [[nodiscard]] bool complete() const;
};

[[nodiscard]] std::string account_text(const Account& account);
[[nodiscard]] std::string account_json(const Account& account);
// What --dry-run prints: one line for each row that would be born.
[[nodiscard]] std::string plan_text(const PlanResult& plan);
[[nodiscard]] std::string plan_json(const PlanResult& plan);

}  // namespace tally::exporter
