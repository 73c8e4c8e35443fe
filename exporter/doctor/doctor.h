// `tally-exporter doctor`: is everything there that an export needs? Reads alone: nothing is
// written, neither in Postgres nor at Stripe.
#pragma once

#include "exporter/doctor/clock.h"
#include "exporter/doctor/finding.h"
#include "runtime/stripe/endpoint.h"

#include <chrono>
#include <string>

namespace tally::exporter::doctor {

struct Settings {
  std::string conninfo;
  std::string stripe_url;  // "" as in runtime::stripe::endpoint_of
  std::string stripe_key;  // likewise; in none of the findings
  std::chrono::milliseconds stripe_timeout{30'000};
};

// Without a key it speaks to this machine alone, and with one that has not the shape of a key to
// nobody. Each check is made once.
[[nodiscard]] Findings examine(const Settings& settings, const Now& now);

}  // namespace tally::exporter::doctor
