// Exact decimal numbers: a 128-bit count of 10^-12 units, so 26 digits before the point and 12
// after it. From JSON text to Stripe's text no binary floating point is involved (promise P4). A
// plain value.
#pragma once

#include "core/result.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::core {

__extension__ using Int128 = __int128;

enum class Rounding { kDown, kUp, kHalfUp, kHalfEven };  // kDown: toward zero; kUp: away from zero

class Decimal {
 public:
  static constexpr int kScale = 12;      // digits after the point
  static constexpr int kMaxDigits = 38;  // digits in all
  constexpr Decimal() = default;
  static constexpr Decimal from_units(Int128 units) { return Decimal(units); }  // units of 10^-12
  static Decimal from_int(std::int64_t whole);

  // Reads a JSON number (RFC 8259 grammar, exponent allowed) to the last digit. Errors name the
  // reason: "not a JSON number", "more than 12 decimals", "more than 38 digits". Digits that are
  // zero do not count against either limit; an exponent of any length is handled without a loop
  // over its value.
  static Result<Decimal> parse(std::string_view json_number);

  // nullopt when the result would need more than 38 digits.
  [[nodiscard]] std::optional<Decimal> checked_add(Decimal other) const;
  [[nodiscard]] std::optional<Decimal> checked_subtract(Decimal other) const;
  // The exact product where it has at most 12 decimals and 38 digits, else nullopt.
  [[nodiscard]] std::optional<Decimal> checked_multiply(Decimal other) const;
  // The nearest value with at most `decimals` (0..12) digits after the point.
  [[nodiscard]] std::optional<Decimal> rounded(int decimals, Rounding rounding) const;

  [[nodiscard]] constexpr Int128 units() const { return units_; }
  [[nodiscard]] constexpr bool is_negative() const { return units_ < 0; }
  [[nodiscard]] constexpr bool is_zero() const { return units_ == 0; }
  // Plain text, no exponent, no trailing zeros: "-12.5", "0", "1000000".
  [[nodiscard]] std::string to_string() const;
  void append_to(std::string& out) const;

  friend constexpr auto operator<=>(const Decimal&, const Decimal&) = default;

 private:
  constexpr explicit Decimal(Int128 units) : units_(units) {}
  Int128 units_ = 0;
};

}  // namespace tally::core
