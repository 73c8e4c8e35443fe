#include "tests/simulation/coverage.h"

#include <fmt/format.h>

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

void Coverage::add(const Coverage& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_.at(i) += other.counts_.at(i);
}

std::string Coverage::table() const {
  std::string text;
  for (std::size_t i = 0; i < counts_.size(); ++i)
    text += fmt::format("  {:<28} {:>10}\n", kNames.at(i), counts_.at(i));
  return text;
}

std::string Coverage::missing() const {
  std::string text;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    // Who holds a lock for 5 s without a word is ended by the server at the same moment as who
    // waits for it gives up: the conformance suite stages that one.
    if (static_cast<Event>(i) == Event::kLockTimeout) continue;
    if (counts_.at(i) == 0) text += fmt::format("{}{}", text.empty() ? "" : ", ", kNames.at(i));
  }
  return text;
}

}  // namespace tally::simulation
