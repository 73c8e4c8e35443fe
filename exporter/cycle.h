// One cycle of the exporter over its seams: read back what is in doubt, plan, then send what is
// open. No threads and no Postgres here; the loop around it is exporter.h.
#pragma once

#include "exporter/export_store.h"
#include "exporter/planner.h"
#include "exporter/read_back.h"
#include "exporter/sender.h"

#include <functional>
#include <string>
#include <vector>

namespace tally::exporter {

struct Cycle {
  ReadBackCounts read_back;
  PlanResult plan;
  SendCounts sent;
  std::string stopped_because;  // "" : by nobody
};

// Sends the rows by as many workers as there are and returns when all have ended; throws what a
// worker threw.
using SendAll = std::function<SendCounts(std::vector<OutboxRow>, StopSending&)>;

// All rows of a customer go to one of `shards` (> 0): Stripe takes one call at a time per customer
// and meter. The order of a customer's rows stays.
[[nodiscard]] std::vector<std::vector<OutboxRow>> shard_by_customer(std::vector<OutboxRow> rows,
                                                                    std::size_t shards);

// Only for who holds the store's lock. `api` reads minutes. Throws what the store and `send_all`
// throw.
[[nodiscard]] Cycle run_cycle(ExportStore& store, MeterEventApi& api, SenderClock& clock,
                              AfterRejection after_rejection, const SendAll& send_all);

}  // namespace tally::exporter
