#include "tests/simulation/exporter/events.h"

#include <array>

namespace tally::simulation::exporting {
namespace {

// In the order of Event.
constexpr std::array<std::string_view, static_cast<std::size_t>(Event::kEventCount)> kNames = {
    "born",
    "delivered",
    "duplicate",
    "rejected",
    "uncertain",
    "freed",
    "new key",
    "split",
    "correction",
    "late use",
    "rounded",
    "gauge stated",
    "not connected",
    "request lost",
    "answer lost",
    "arrived late",
    "conflict",
    "rate limited",
    "lock timeout",
    "stored 500",
    "unstored 5xx",
    "replayed",
    "key refused",
    "meter inactive",
    "meter unknown",
    "identifier known",
    "reading failed",
    "read present",
    "read absent",
    "read back",
    "never arrived",
    "outage of Stripe",
    "outage of over a day",
    "store broke",
    "commit answer lost",
    "store outage",
    "killed",
    "frozen",
    "lock lost",
    "two at once",
    "refused by state"};

}  // namespace

std::string_view to_string(Event event) { return kNames.at(static_cast<std::size_t>(event)); }

}  // namespace tally::simulation::exporting
