// The loop of the aggregator: one session after another until told to stop. A worker has its own
// consumer, connection and memory, and shares with the others of its process only what commits
// their plans (commit_group.h).
#pragma once

#include "aggregator/session.h"

#include <string>

namespace tally::aggregator {

// Blocks until the environment's pace says stop. Failures are shown by the probe and tried again
// with backoff; nothing is ever skipped to get on. Threads: one per worker.
void run_worker(const SessionSettings& settings, Environment& environment, Probe& probe);

}  // namespace tally::aggregator
