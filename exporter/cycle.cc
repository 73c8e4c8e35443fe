#include "exporter/cycle.h"

namespace tally::exporter {

Cycle run_cycle(ExportStore& store, MeterEventApi& api, SenderClock& clock,
                AfterRejection after_rejection, const SendAll& send_all) {
  Cycle cycle;
  cycle.read_back = read_back(store, api, clock);
  cycle.plan = plan_exports(store, clock.now(), after_rejection, PlanMode::kWrite);
  cycle.sent = send_all(store.open_rows());
  return cycle;
}

}  // namespace tally::exporter
