// Times as the second version of Stripe's API writes them.
#pragma once

#include <fmt/chrono.h>

#include <cstdint>
#include <ctime>
#include <string>

namespace tally::sandbox {

// "2027-01-15T08:00:00.000Z", of unix seconds.
[[nodiscard]] inline std::string rfc3339(std::int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.000Z", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace tally::sandbox
