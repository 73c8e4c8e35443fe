// What can be known of Stripe's side by reading it: nothing is written there.
#pragma once

#include "core/meter.h"
#include "exporter/doctor/clock.h"
#include "exporter/doctor/finding.h"
#include "runtime/stripe/client.h"

#include <span>
#include <string>

namespace tally::exporter::doctor {

// Where it would be spoken to, and with what. `key` is as it was given, "" without one.
[[nodiscard]] Finding check_url(const runtime::stripe::Endpoint& endpoint);
[[nodiscard]] Finding check_key(const std::string& key, const std::string& url);

// The account, the clocks, what the key may read, and each mapped meter of `meters`. Stops early
// where Stripe cannot be reached or refuses the key. Never throws for what Stripe does.
[[nodiscard]] Findings check_stripe(runtime::stripe::Api& api, const std::string& key,
                                    std::span<const core::Meter> meters, const Now& now);

}  // namespace tally::exporter::doctor
