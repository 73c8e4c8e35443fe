// When billing periods begin and end. Pure; unix seconds, UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tally::sandbox {

enum class Interval { kDay, kWeek, kMonth, kYear };

// How often a price recurs: `count` (1 and up) intervals.
struct Rhythm {
  Interval interval = Interval::kMonth;
  std::int64_t count = 1;
  bool operator==(const Rhythm&) const = default;
};

[[nodiscard]] std::optional<Interval> interval_of(std::string_view name);
// The moment `n` rhythms after the anchor (before it: n below 0): its time of day, and its day of
// the month or the last one of a month that is shorter.
[[nodiscard]] std::int64_t edge(std::int64_t anchor, const Rhythm& rhythm, std::int64_t n);
// The first edge after `time`.
[[nodiscard]] std::int64_t edge_after(std::int64_t anchor, const Rhythm& rhythm, std::int64_t time);

}  // namespace tally::sandbox
