// What a meter of the catalogue needs at Stripe, and whether what is there is that. Pure.
#pragma once

#include "core/meter.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

// How Stripe adds the events of a meter up. kSum: signed increments. kLast: the value itself.
enum class StripeFormula : std::uint8_t { kSum, kLast };

[[nodiscard]] std::string_view to_string(StripeFormula formula);
// nullopt: meters of this kind are not exported (min: what falls is no increment).
[[nodiscard]] std::optional<StripeFormula> stripe_formula(Aggregation aggregation);

// The keys of a meter event's payload that tally writes.
inline constexpr std::string_view kStripeCustomerKey = "stripe_customer_id";
inline constexpr std::string_view kStripeValueKey = "value";

// A billing meter as Stripe shows it, in Stripe's words; "" where it shows nothing.
struct StripeMeter {
  std::string id;
  std::string event_name;
  std::string formula;            // "sum", "last" or "count"
  std::string event_time_window;  // "": raw; "hour" or "day": pre-aggregated
  std::string customer_type;      // of customer_mapping: "by_id"
  std::string customer_key;
  std::string value_key;
  bool is_active = false;
};

enum class MeterFit : std::uint8_t {
  kNotExported,  // tally sends nothing for it, so Stripe needs nothing
  kMissing,      // Stripe has no meter of the event name
  kUnfit,        // `faults` says why what is there would bill something else, or nothing
  kFits,
};

struct MeterCheck {
  std::string slug;
  std::string event_name;
  StripeFormula formula = StripeFormula::kSum;  // what is needed; not for kNotExported
  MeterFit fit = MeterFit::kMissing;
  std::string stripe_meter;         // the id of the one that was looked at; "" for kMissing
  std::vector<std::string> faults;  // kUnfit: a sentence each, with what to do
};

// `meter` has a Stripe mapping (CHECKed). Of several meters of its event name the active one
// counts. Only an active raw meter of the right formula and the standard payload keys fits. An
// inactive one counts where it would fit once it is reactivated, else as if it were not there:
// Stripe takes another of its name.
[[nodiscard]] MeterCheck check_stripe_meter(const Meter& meter,
                                            std::span<const StripeMeter> at_stripe);

// An item of a subscription whose price is metered.
struct MeteredItem {
  std::string customer;
  std::string subscription;
  std::string item;
  std::string stripe_meter;  // id
};

// Two items or more of one customer on one of these meters, a sentence each: Stripe would bill the
// same use by each. Items on other meters are none of tally's business.
[[nodiscard]] std::vector<std::string> double_items(std::span<const MeterCheck> meters,
                                                    std::span<const MeteredItem> items);

}  // namespace tally::core
