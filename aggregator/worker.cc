#include "aggregator/worker.h"

#include "runtime/log/log.h"
#include "runtime/retry/backoff.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace tally::aggregator {

using namespace std::chrono_literals;

namespace {

// Another for each worker of each process, whatever they are called, or all would retry in step.
std::uint64_t any_seed(const Environment& environment) {
  const dedup::SegmentToken token = environment.new_token();
  std::uint64_t seed = 0;
  static_assert(sizeof(token.bytes) >= sizeof(seed));
  std::memcpy(&seed, token.bytes.data(), sizeof(seed));
  return seed;
}

}  // namespace

void run_worker(const SessionSettings& settings, Environment& environment, Probe& probe) {
  Pace& pace = environment.pace;
  runtime::retry::Backoff backoff(200ms, 10s, any_seed(environment));
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
