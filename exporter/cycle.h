// One cycle of the exporter over its seams: read back what is in doubt, plan, then send what is
// open. No threads and no Postgres here; the loop around it is exporter.h.
#pragma once

#include "exporter/export_store.h"
#include "exporter/planner.h"
#include "exporter/read_back.h"
#include "exporter/sender.h"

#include <functional>
#include <vector>

namespace tally::exporter {

struct Cycle {
  ReadBackCounts read_back;
  PlanResult plan;
  SendCounts sent;
};

// Sends the rows, and returns when nothing is under way any more.
using SendAll = std::function<SendCounts(std::vector<OutboxRow>)>;

// Only for who holds the store's lock. `api` reads minutes. Throws what the store and `send_all`
// throw.
[[nodiscard]] Cycle run_cycle(ExportStore& store, MeterEventApi& api, SenderClock& clock,
                              AfterRejection after_rejection, const SendAll& send_all);

}  // namespace tally::exporter
