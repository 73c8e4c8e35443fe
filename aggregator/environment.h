// All that a session reaches outside itself, as factories: each session starts afresh with a client
// and a connection of its own, and as a new member of what commits for all of its process. The
// program binds it to Kafka, Postgres and the clock, the simulator to models of them.
#pragma once

#include "aggregator/committer.h"
#include "aggregator/event_source.h"
#include "aggregator/pace.h"
#include "aggregator/totals_store.h"

#include <functional>

namespace tally::aggregator {

// Lifetime: outlives the sessions. Threads: one worker's; several workers have one each.
struct Environment {
  SourceFactory source;
  StoreFactory store;
  CommitterFactory committer;
  Pace& pace;
  std::function<dedup::SegmentToken()> new_token;  // 128 random bits
};

}  // namespace tally::aggregator
