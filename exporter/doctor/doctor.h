// `tally-exporter doctor`: is everything there that an export needs? Reads alone: nothing is
// written, neither in Postgres nor at Stripe.
#pragma once

#include "exporter/doctor/clock.h"
#include "exporter/doctor/finding.h"
#include "runtime/stripe/endpoint.h"

#include <string>

namespace tally::exporter::doctor {

struct Settings {
  std::string conninfo;
  runtime::stripe::Given stripe;  // the key is in none of the findings
};

// Without a key it speaks to this machine alone, and with one that has not the shape of a key to
// nobody. Each check is made once.
[[nodiscard]] Findings examine(const Settings& settings, const Now& now);

}  // namespace tally::exporter::doctor
