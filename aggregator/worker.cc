#include "aggregator/worker.h"

#include "runtime/log/log.h"
#include "runtime/retry/backoff.h"

namespace tally::aggregator {

using namespace std::chrono_literals;

void run_worker(const SessionSettings& settings, const StoreFactory& stores, Probe& probe,
                const runtime::lifecycle::StopSignal& stop) {
  runtime::retry::Backoff backoff(200ms, 10s, std::hash<std::string>{}(settings.owner));
  while (!stop.requested()) {
    try {
      Session session(settings, stores, probe, stop);
      const std::string reason = session.run();
      runtime::log::info("session_ended", {{"reason", reason}});
      probe.problem("service", "");
      backoff.reset();
      continue;
    } catch (const std::exception& failure) {
      if (stop.requested()) return;
      // Not ready until it is mended; trying again finds out when that is.
      probe.problem("service", failure.what());
      runtime::log::error("session_failed", {{"reason", failure.what()}});
    }
    stop.wait_for(backoff.next());
  }
}

}  // namespace tally::aggregator
