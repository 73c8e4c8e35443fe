// The exporter's tables, in memory: what Postgres holds, with its constraints, and what it refuses.
// It also watches: a transition that no rule allows breaks the schedule.
#pragma once

#include "exporter/export_store.h"
#include "exporter/sender.h"
#include "tests/simulation/exporter/events.h"
#include "tests/simulation/exporter/usage.h"
#include "tests/simulation/scheduler.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation::exporting {

inline constexpr std::int64_t kEpochSeconds = 1'800'000'000;

// The clock on the wall, of everybody.
[[nodiscard]] inline core::Timestamp wall_clock(const Scheduler& scheduler) {
  return core::Timestamp::from_micros(kEpochSeconds * 1'000'000 + scheduler.now_us());
}

struct StoredRow {
  exporter::OutboxRow row;
  std::size_t series = 0;
  std::size_t period = 0;
  core::Decimal value;
  std::optional<core::Timestamp> last_sent_at;
  std::optional<core::Timestamp> read_at;
  std::optional<std::string> read_value;
};

class Books {
 public:
  Books(Scheduler& scheduler, Coverage& coverage, Usage& usage)
      : scheduler_(scheduler), coverage_(coverage), usage_(usage) {}

  // The reads of one planning step; the state as it is committed now.
  [[nodiscard]] exporter::OpenSeries open_series() const;
  [[nodiscard]] exporter::Totals totals(core::Timestamp now) const;
  [[nodiscard]] exporter::UsedMinutes used_minutes(const exporter::Totals& totals,
                                                   const exporter::DuePlan& plan) const;
  // One transaction each. A refusal throws std::runtime_error and changes nothing.
  void commit_plan(const std::vector<exporter::Obstacle>& held,
                   const std::vector<exporter::NewRow>& rows);
  void commit_report(const exporter::Report& report, const std::vector<exporter::OutboxRow*>& rows,
                     core::Timestamp now);

  void commit_settlement(const exporter::Settlement& settlement);

  [[nodiscard]] std::vector<exporter::OutboxRow> open_rows() const;
  [[nodiscard]] std::vector<exporter::UncertainRow> uncertain_rows() const;
  [[nodiscard]] exporter::OutboxStanding standing() const;
  [[nodiscard]] const StoredRow* by_identifier(const std::string& identifier) const;
  [[nodiscard]] const std::map<std::int64_t, StoredRow>& rows() const { return rows_; }
  // In Stripe's units; of a gauge what is stated.
  [[nodiscard]] std::optional<core::Decimal> planned(std::size_t series, std::size_t period) const;
  [[nodiscard]] std::size_t held_periods() const { return held_; }

  // Sessions: who holds the exporter's lock, and the planning lock. 0: nobody.
  std::int64_t exporter_lock = 0;
  std::int64_t planning_lock = 0;

 private:
  using Key = std::pair<std::size_t, std::size_t>;  // series, period
  void apply(const exporter::Transition& transition);
  void reject(StoredRow& stored, core::Timestamp at);
  void check_sums();

  Scheduler& scheduler_;
  Coverage& coverage_;
  Usage& usage_;
  std::map<Key, exporter::Progress> periods_;
  std::map<std::int64_t, StoredRow> rows_;
  std::map<std::string, std::int64_t> identifiers_;
  std::size_t held_ = 0;
  std::int64_t next_id_ = 1;
};

}  // namespace tally::simulation::exporting
