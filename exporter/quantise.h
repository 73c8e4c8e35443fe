// From tally's units to the number that Stripe gets, and back. Exact: products are formed with 76
// digits before they are rounded; no binary floating point. Pure functions of plain values.
#pragma once

#include "core/decimal.h"

#include <optional>

namespace tally::exporter {

// Stripe takes at most 15 significant digits. Leading zeros do not count here, every other printed
// digit does: the strict reading of Stripe's rule.
inline constexpr int kMaxStripeDigits = 15;
// A difference that would need more rows than this is held: its multiplier is wrong for its size.
inline constexpr int kMaxChunks = 100;

// total × multiplier, rounded once, to `decimals` (0..12) digits. nullopt: over 38 digits.
[[nodiscard]] std::optional<core::Decimal> to_stripe_units(core::Decimal total,
                                                           core::Decimal multiplier, int decimals,
                                                           core::Rounding rounding);

// value ÷ multiplier, to the nearest 12th decimal. nullopt: multiplier zero or of more than 25
// digits before the point, or the quotient is over 38 digits.
[[nodiscard]] std::optional<core::Decimal> to_tally_units(core::Decimal value,
                                                          core::Decimal multiplier);

// Digits of `value` as printed, without leading zeros: 0.05 has 1, 1000 has 4.
[[nodiscard]] int printed_digits(core::Decimal value);

// The part of `value` that one event can carry: `value` itself within 15 digits, else the largest
// part of the same sign that fits. nullopt: more than kMaxChunks parts would be needed.
[[nodiscard]] std::optional<core::Decimal> first_chunk(core::Decimal value);

}  // namespace tally::exporter
