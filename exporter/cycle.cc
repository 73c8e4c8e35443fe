#include "exporter/cycle.h"

#include "core/check.h"

namespace tally::exporter {

std::vector<std::vector<OutboxRow>> shard_by_customer(std::vector<OutboxRow> rows,
                                                      std::size_t shards) {
  TALLY_CHECK(shards > 0);
  std::vector<std::vector<OutboxRow>> sharded(shards);
  for (OutboxRow& row : rows) {
    const std::size_t shard = std::hash<std::string>{}(row.stripe_customer) % shards;
    sharded[shard].push_back(std::move(row));
  }
  return sharded;
}

Cycle run_cycle(ExportStore& store, MeterEventApi& api, SenderClock& clock,
                AfterRejection after_rejection, const SendAll& send_all) {
  Cycle cycle;
  cycle.read_back = read_back(store, api, clock);
  cycle.plan = plan_exports(store, clock.now(), after_rejection, PlanMode::kWrite);
  StopSending stop_sending;
  cycle.sent = send_all(store.open_rows(), stop_sending);
  cycle.stopped_because = stop_sending.reason();
  return cycle;
}

}  // namespace tally::exporter
