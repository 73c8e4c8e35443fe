// The exporter's seam to what it keeps: totals, periods and the outbox. Implemented over Postgres
// (outbox.h) and, for seeded schedules, in memory (tests/simulation/exporter). One thread
// at a time. Every call may throw when the database is away; what it was to write may then have
// been written or not, and the caller reads anew before it goes on.
#pragma once

#include "core/identity.h"
#include "exporter/export_plan.h"
#include "exporter/outbox_row.h"
#include "exporter/series.h"

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::exporter {

// What should be at Stripe, and what was planned of it.
struct Totals {
  std::vector<Series> series;
  std::vector<PeriodAccount> accounts;
  // Meters with a Stripe mapping that cannot be exported, each with the reason.
  std::vector<std::string> not_exported;
};

// Who has a row that is planned, sending or uncertain: each pair with the meter. A tenant that
// moved to another Stripe customer waits for its old row too.
struct OpenSeries {
  std::set<std::pair<std::string, std::string>> by_customer;
  std::set<std::pair<std::string, std::string>> by_tenant;
  [[nodiscard]] bool holds(const Series& series) const {
    return by_customer.contains({series.stripe_customer, series.meter}) ||
           by_tenant.contains({series.tenant, series.meter});
  }
};

// One planning step: a transaction behind the planning lock, so that the later of two planners
// sees the rows of the earlier. Each read may see what senders committed since the one before it.
class PlanTransaction {
 public:
  PlanTransaction() = default;
  PlanTransaction(const PlanTransaction&) = delete;
  PlanTransaction& operator=(const PlanTransaction&) = delete;
  virtual ~PlanTransaction() = default;  // without commit(): nothing was written
  virtual core::IdentityHasher hasher() = 0;
  virtual OpenSeries open_series() = 0;
  virtual Totals totals(core::Timestamp now) = 0;
  virtual UsedMinutes used_minutes(const Totals& totals, const DuePlan& plan) = 0;
  // The reasons of what is held, the rows and what they add to their periods.
  virtual void write(const Totals& totals, const std::vector<Obstacle>& held,
                     const std::vector<NewRow>& rows, core::Timestamp now) = 0;
  virtual void commit() = 0;
};

// What stands in the way of "everything is at Stripe", whoever put it there. Counts of rows.
struct OutboxStanding {
  std::size_t planned = 0;
  std::size_t sending = 0;
  std::size_t uncertain = 0;
  std::size_t held = 0;
};

// kDryRun takes no lock and must not be committed.
enum class PlanMode { kWrite, kDryRun };

class ExportStore {
 public:
  ExportStore() = default;
  ExportStore(const ExportStore&) = delete;
  ExportStore& operator=(const ExportStore&) = delete;
  virtual ~ExportStore() = default;
  // At most one exporter works on a database. True: it is this one. Asks the server each time, so
  // it is also the way to see that the lock is still held; it goes with the session.
  virtual bool try_hold() = 0;
  virtual std::unique_ptr<PlanTransaction> begin_plan(PlanMode mode) = 0;
  // Rows in `planned` and `sending`, oldest first.
  virtual std::vector<OutboxRow> open_rows() = 0;
  // Oldest first.
  virtual std::vector<UncertainRow> uncertain_rows() = 0;
  // One transaction. Throws when the row is no longer uncertain.
  virtual void settle(const Settlement& settlement) = 0;
  virtual OutboxStanding standing() = 0;
};

}  // namespace tally::exporter
