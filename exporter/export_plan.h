// The export plan, pure: no I/O, no clock. From period totals and what was planned so far to the
// rows that are born now. Two steps, because the minutes that are in use are only read for what is
// due:
//
//   accounts --find_due()--> amounts that are due --(read their used minutes)--> assign_minutes()
//
// The rules (promise P5):
//  - kSum: the amount is total × multiplier, cut to the mapping's decimals, minus what was planned.
//    The fraction is carried inside the period; once the period is past, the mapping's rounding
//    decides over it. A correction is a negative amount.
//  - kLast: the value itself when it differs from the one last stated in the period; the first of a
//    period is always stated.
//  - At most one open row per series. The oldest period goes first. An amount of more than 15
//    digits goes in parts.
//  - The event's minute lies wholly inside the period, begins at or before now, is within Stripe's
//    35 days, and was never used by this customer and event name.
#pragma once

#include "core/identity.h"
#include "exporter/series.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tally::exporter {

inline constexpr std::int64_t kMinuteSeconds = 60;
// Stripe refuses events older than 35 days; one hour is kept for the way there.
inline constexpr std::int64_t kOldestEventSeconds = 35 * 86'400 - 3'600;
// How far back a free minute is looked for. One row per series and interval (60 s at least, 300 s
// as set) uses at most every minute that passes, so an open period finds one at once or waits.
inline constexpr std::int64_t kOpenSearchSeconds = 6 * 3'600;
inline constexpr std::int64_t kClosedSearchSeconds = 10 * 86'400;
// A gauge's events stand one after the other. One that was read later than this before its period's
// end stands at that moment, so that minutes are left for its next values and for what is rejected.
inline constexpr std::int64_t kGaugeSpareSeconds = 2 * 3'600;
// A series whose rows Stripe rejects is planned again after 5, 10, 20 … minutes, at most a day.
inline constexpr std::int64_t kFirstRejectionDelaySeconds = 300;
inline constexpr std::int64_t kLongestRejectionDelaySeconds = 86'400;

// kTryNow: a person asked (--once) and has perhaps mended the cause.
enum class AfterRejection { kWait, kTryNow };

// Minutes [oldest, newest], both inclusive; kSum takes the newest free one, kLast the oldest.
struct MinuteRange {
  core::Timestamp oldest;
  core::Timestamp newest;
};

struct DueAmount {
  std::size_t account = 0;  // index into the accounts
  core::Decimal value;      // Stripe's units, at most 15 digits
  MinuteRange minutes;
  bool more_follows = false;  // further parts, or a later period of the same series
};

// Why nothing is planned for an account. Held: a person must look. Waiting: time will do.
struct Obstacle {
  std::size_t account = 0;
  std::string reason;
};

struct DuePlan {
  std::vector<DueAmount> due;  // at most one per series
  std::vector<Obstacle> held;
  std::vector<Obstacle> waiting;
  std::size_t behind_open_rows = 0;  // accounts that differ, but their series has an open row
};

// `accounts` in any order; `open_series[i]`: series i has an open row. Accounts of one series must
// not name one period twice.
[[nodiscard]] DuePlan find_due(std::span<const Series> series,
                               std::span<const PeriodAccount> accounts,
                               const std::vector<bool>& open_series, core::Timestamp now,
                               AfterRejection after_rejection);

// Used minutes of a due amount, sorted, by index into DuePlan::due. An amount not listed has none.
using UsedMinutes = std::map<std::size_t, std::vector<core::Timestamp>>;

struct BirthPlan {
  std::vector<NewRow> rows;
  std::vector<std::size_t> accounts;  // of each row
  std::vector<Obstacle> waiting;      // no free minute now
};

[[nodiscard]] BirthPlan assign_minutes(std::span<const Series> series,
                                       std::span<const PeriodAccount> accounts, const DuePlan& plan,
                                       const UsedMinutes& used, const core::IdentityHasher& hasher);

}  // namespace tally::exporter
