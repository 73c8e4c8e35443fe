// Whether two clocks agree. Pure.
#pragma once

#include "core/timestamp.h"
#include "exporter/doctor/finding.h"

#include <cstdint>
#include <functional>
#include <string>

namespace tally::exporter::doctor {

// Stripe takes events up to 5 minutes ahead and signatures up to 5 minutes old.
inline constexpr std::int64_t kWarnSkewSeconds = 5;
inline constexpr std::int64_t kFailSkewSeconds = 120;

using Now = std::function<core::Timestamp()>;

// One reading of another's clock, and this machine's clock before it was asked for and after it was
// there.
struct ClockReading {
  core::Timestamp before;
  core::Timestamp theirs;
  core::Timestamp after;
  std::int64_t resolution_micros = 0;  // `theirs` was cut down by less than this
};

// By how much this machine is surely behind (positive) or ahead (negative) of theirs; 0 where the
// time that the question took explains the difference.
[[nodiscard]] std::int64_t surely_behind_micros(const ClockReading& reading);

// `check` names it ("stripe clock"), `whose` says whose it is ("Stripe's").
[[nodiscard]] Finding check_clock(const std::string& check, const std::string& whose,
                                  const ClockReading& reading);

}  // namespace tally::exporter::doctor
