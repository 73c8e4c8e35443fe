// The sandbox's own exact numbers: whole units of 10^-12 in 128 bits. It shares no code with what
// it judges, so an error of tally's Decimal cannot hide in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::sandbox {

__extension__ using Units = __int128;

// What is wrong with a value's text, in the order in which it is judged.
enum class ValueError { kNone, kGrammar, kTooManyDigits, kTooManyDecimals };

struct ParsedValue {
  ValueError error = ValueError::kNone;
  Units units = 0;
};

constexpr int kMaxSignificantDigits = 15;
constexpr int kDecimals = 12;

// -?[0-9]+(\.[0-9]+)? with at most 15 digits (leading zeros apart) and at most 12 decimals.
[[nodiscard]] ParsedValue parse_value(std::string_view text);
[[nodiscard]] Units units_of(std::int64_t whole);
// Without its decimals; at most what 64 bits hold.
[[nodiscard]] std::int64_t truncated(Units units);
// "12.5", "-3", "0": no exponent, no trailing zeros.
[[nodiscard]] std::string text_of(Units units);
// The nearest double: what Stripe's JSON numbers can carry.
[[nodiscard]] double double_of(Units units);
// What text_of() wrote, of any number of digits.
[[nodiscard]] Units read_units(std::string_view text);
// To the nearest of 12 decimals; |value| is below 10^26.
[[nodiscard]] Units units_of_double(double value);
// a * b to the nearest whole, halves away from zero; at most kMostCents, either way.
constexpr std::int64_t kMostCents = 999'999'999'999;
// Of a unit or an invoice item.
constexpr std::int64_t kMostOfAPrice = 99'999'999;
[[nodiscard]] std::int64_t cents_of(Units a, Units b);
// Throws std::overflow_error, far beyond any sum of accepted values (10^11 events of the largest).
[[nodiscard]] Units add(Units a, Units b);

}  // namespace tally::sandbox
