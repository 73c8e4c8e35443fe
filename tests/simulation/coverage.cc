#include "tests/simulation/coverage.h"

namespace tally::simulation {

namespace {

// In the order of Event.
constexpr std::array<std::string_view, static_cast<std::size_t>(Event::kEventCount)> kNames = {
    "committed",
    "committed together",
    "fenced",
    "catalogue moved",
    "in doubt committed",
    "in doubt lost",
    "ghost started",
    "ghost committed",
    "ghost refused",
    "resolved committed",
    "resolved not committed",
    "resolved fenced",
    "broken connection",
    "serialization failure",
    "lock timeout",
    "idle transaction killed",
    "store outage",
    "store restored",
    "crash",
    "crash in commit",
    "crash in acquire",
    "stopped orderly",
    "zombie",
    "zombie in transaction",
    "revoked orderly",
    "revoked lost",
    "stale queue delivered",
    "lost by the client",
    "static rejoin",
    "acquired",
    "periods opened",
    "topology moved",
    "growth",
    "stale metadata open",
    "handed off",
    "handoff taken",
    "handed on again",
    "rolled up",
    "foreign segment loaded",
    "segment covered",
    "cache damaged",
    "days dropped",
    "duplicate",
    "conflict",
    "late",
    "rejected",
    "unmetered",
    "filtered",
    "meter reject",
    "unverifiable",
    "recount after horizon",
    "aborted transaction",
    "open transaction held back",
    "retention lost",
    "clock step back",
    "catalogue change",
    "wrong partitioner",
    "broker silent"};

}  // namespace

std::string_view to_string(Event event) { return kNames.at(static_cast<std::size_t>(event)); }

}  // namespace tally::simulation
