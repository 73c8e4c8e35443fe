// What an answer of the daemon says of the events of its request (docs/producing.md has the table).
#pragma once

#include "producer/load/dispatch.h"
#include "runtime/http/client.h"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::load {

struct Answer {
  End end = End::kUnanswered;  // of every event that the lists do not name
  std::string reason = {};     // of that: "429 too_many_in_flight", "no connection"
  // Of 503 not_all_kept, by their place in the request; the end of the others is kAcked then.
  std::vector<std::size_t> not_kept = {};
  std::vector<std::size_t> unknown = {};
  Again again = Again::kNever;                    // kMay: under the same ids it may go better
  std::optional<std::chrono::seconds> wait = {};  // Retry-After
  std::string complaint = {};                     // for people; "": all is well
};

inline constexpr std::string_view kNotAllKeptReason = "503 not_all_kept";

// `events`: how many the request had.
[[nodiscard]] Answer read_answer(const runtime::http::Outcome& outcome, std::size_t events);

}  // namespace tally::producer::load
