#include "aggregator/worker.h"

#include "runtime/log/log.h"
#include "runtime/retry/backoff.h"

#include <utility>

namespace tally::aggregator {

using namespace std::chrono_literals;

void run_worker(const SessionSettings& settings, Environment& environment, Probe& probe) {
  Pace& pace = environment.pace;
  runtime::retry::Backoff backoff(200ms, 10s, std::hash<std::string>{}(settings.owner));
  Membership membership = Membership::kConfigured;
  while (!pace.stop_requested()) {
    try {
      Session session(settings, environment, probe,
                      std::exchange(membership, Membership::kConfigured));
      const std::string reason = session.run();
      membership = session.next_membership();
      runtime::log::info("session_ended", {{"reason", reason}});
      probe.problem("service", "");
      backoff.reset();
      continue;
    } catch (const std::exception& failure) {
      if (pace.stop_requested()) return;
      // Not ready until it is mended; trying again finds out when that is.
      probe.problem("service", failure.what());
      runtime::log::error("session_failed", {{"reason", failure.what()}});
    }
    pace.wait_for(backoff.next());
  }
}

}  // namespace tally::aggregator
