// The loop of the aggregator: one session after another until told to stop. A worker has its own
// consumer, connections and memory and shares nothing with the others; so two workers of one
// process are no different from two processes.
#pragma once

#include "aggregator/session.h"

#include <string>

namespace tally::aggregator {

// Blocks until `stop`. Failures are shown by the probe and tried again with backoff; nothing is
// ever skipped to get on. Threads: one per worker.
void run_worker(const SessionSettings& settings, const StoreFactory& stores, Probe& probe,
                const runtime::lifecycle::StopSignal& stop);

}  // namespace tally::aggregator
