// The exporter's loop: lock, take up what is open, plan, send, and again after the interval. The
// only place that knows time and the order of steps.
#pragma once

#include "exporter/account.h"
#include "exporter/cycle.h"
#include "exporter/lanes.h"
#include "exporter/meter_event_api.h"
#include "exporter/outbox.h"
#include "exporter/probe.h"
#include "exporter/schedule.h"
#include "exporter/sender.h"
#include "runtime/lifecycle/lifecycle.h"
#include "runtime/postgres/connection.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::exporter {

struct ExporterSettings {
  std::string conninfo;
  std::size_t in_flight = 32;              // requests at once
  std::int64_t requests_per_second = 980;  // 0: no limit
  Schedule schedule = Schedule::every(std::chrono::seconds(300));
  std::chrono::seconds lock_wait{30};    // --once: how long another exporter is waited for
  std::optional<core::Timestamp> until;  // nothing is sent from then on; nullopt: no end
  SenderOptions sender;
};

class Exporter {
 public:
  Exporter(ExporterSettings settings, ApiFactory apis, Probe& probe,
           const runtime::lifecycle::StopSignal& stop);

  // A cycle at once, then as the schedule says, and sooner while something is left to do, until a
  // stop is asked for or `until` has come. Errors are logged and seen in readiness.
  void run_scheduled();
  // Plans and sends until nothing more can be done now. Throws when the database is away or another
  // exporter does not end within lock_wait.
  [[nodiscard]] Account run_once();

 private:
  [[nodiscard]] bool hold_lock();
  [[nodiscard]] Cycle run_one_cycle(AfterRejection after_rejection);
  [[nodiscard]] SendCounts send_all(std::vector<OutboxRow> rows);
  void forget_connections();
  // Whether nothing is left that another cycle could do now.
  [[nodiscard]] bool cycle_and_log();
  void wait_for_next(core::Timestamp started, bool is_settled);
  [[nodiscard]] bool must_end() const;  // a stop, or `until`

  ExporterSettings settings_;
  ApiFactory apis_;
  Probe& probe_;
  const runtime::lifecycle::StopSignal& stop_;
  std::unique_ptr<PostgresStore> store_;
  std::unique_ptr<MeterEventApi> reader_;  // of minutes
  std::unique_ptr<runtime::postgres::Connection> delivery_connection_;
  ThreadLanes lanes_;
  SendPace pace_;
};

[[nodiscard]] core::Timestamp system_now();

}  // namespace tally::exporter
