#include "exporter/doctor/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace tally::exporter::doctor {
namespace {

constexpr std::int64_t kMicros = 1'000'000;

}  // namespace

std::int64_t surely_behind_micros(const ClockReading& reading) {
  const std::int64_t ahead = reading.theirs.micros() - reading.after.micros();
  if (ahead > 0) return ahead;
  const std::int64_t latest = reading.theirs.micros() + reading.resolution_micros;
  return std::min<std::int64_t>(latest - reading.before.micros(), 0);
}

Finding check_clock(const std::string& check, const std::string& whose,
                    const ClockReading& reading) {
  const std::int64_t micros = surely_behind_micros(reading);
  const std::int64_t seconds = (std::abs(micros) + kMicros - 1) / kMicros;
  Finding finding{Level::kOk, check, fmt::format("this machine's clock agrees with {}", whose), ""};
  if (seconds <= kWarnSkewSeconds) return finding;
  finding.level = seconds > kFailSkewSeconds ? Level::kFail : Level::kWarn;
  finding.says =
      fmt::format("this machine's clock is {} s {} {} ({} there)", seconds,
                  micros > 0 ? "behind" : "ahead of", whose, core::to_rfc3339(reading.theirs));
  finding.next = "set the clock that is wrong by NTP: events more than 300 s ahead are refused";
  return finding;
}

}  // namespace tally::exporter::doctor
