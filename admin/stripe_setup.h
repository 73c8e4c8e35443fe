// `tally-admin stripe apply`: Stripe gets the billing meters that the stored catalogue needs. What
// is there is looked at first; what would bill something else is refused, and then nothing is made.
// Idempotent: a second run finds the meters of the first.
#pragma once

#include "admin/rejects.h"
#include "core/meter.h"
#include "core/result.h"
#include "core/stripe_meter.h"
#include "runtime/stripe/lists.h"

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace tally::admin {

struct SetupPlan {
  std::vector<core::MeterCheck> meters;  // those with a mapping, in the catalogue's order
  // Two items of one customer on one of these meters, a sentence each: Stripe would bill the same
  // use by both.
  std::vector<std::string> clashes;
  [[nodiscard]] std::size_t count(core::MeterFit fit) const;
  [[nodiscard]] bool is_refused() const;
};

// Pure.
[[nodiscard]] SetupPlan plan_setup(std::span<const core::Meter> meters,
                                   std::span<const core::StripeMeter> at_stripe,
                                   std::span<const core::MeteredItem> items);

// The form that makes the meter of a check of kMissing, and its Idempotency-Key: the same for the
// same form; another for each `number`.
[[nodiscard]] std::string meter_form(const core::MeterCheck& wanted);
[[nodiscard]] std::string meter_key(const std::string& form, int number);

struct SetupRequest {
  enum class Mode { kApply, kDryRun };
  Mode mode = Mode::kApply;
  Format format = Format::kTable;
  // Asked after the plan was shown and before anything is made. Empty: there is nobody to ask.
  std::function<bool()> confirm = {};
};

// Shows the plan, then makes what is missing, one meter after the other. An error when Stripe or
// its subscriptions cannot be read, something is refused, nobody confirmed, or a meter could not be
// made; what was made before stays, and running it again goes on. JSON is one object at the end,
// also when it fails behind the reading.
[[nodiscard]] core::Result<void> apply_to_stripe(std::span<const core::Meter> meters,
                                                 runtime::stripe::Api& api,
                                                 const SetupRequest& request, std::ostream& out);

}  // namespace tally::admin
