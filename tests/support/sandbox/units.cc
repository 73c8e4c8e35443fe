#include "tests/support/sandbox/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace tally::sandbox {
namespace {

constexpr std::int64_t kOne = 1'000'000'000'000;

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

ParsedValue parse_value(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view decimals = text.substr(std::min(text.size(), point + 1));
  const bool has_point = point < text.size();
  if (!all_digits(whole) || (has_point && !all_digits(decimals))) return {ValueError::kGrammar, 0};
  const std::string digits = std::string(whole) + std::string(decimals);
  const auto first = std::min(digits.find_first_not_of('0'), digits.size());
  if (digits.size() - first > kMaxSignificantDigits) return {ValueError::kTooManyDigits, 0};
  if (decimals.size() > kDecimals) return {ValueError::kTooManyDecimals, 0};
  Units units = 0;
  for (const char c : digits.substr(first)) units = units * 10 + (c - '0');
  for (std::size_t i = decimals.size(); i < kDecimals; ++i) units *= 10;
  return {ValueError::kNone, negative ? -units : units};
}

Units units_of(std::int64_t whole) { return static_cast<Units>(whole) * kOne; }

std::int64_t truncated(Units units) {
  constexpr Units kMost = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::clamp(units / kOne, -kMost, kMost));
}

std::string text_of(Units units) {
  const bool negative = units < 0;
  std::string reversed;
  for (Units rest = units; rest != 0; rest /= 10) {
    const int digit = static_cast<int>(rest % 10);
    reversed += static_cast<char>('0' + (digit < 0 ? -digit : digit));
  }
  while (reversed.size() <= kDecimals) reversed += '0';
  std::string text(reversed.rbegin(), reversed.rend());
  text.insert(text.size() - kDecimals, ".");
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return (negative ? "-" : "") + text;
}

Units read_units(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  digits.append(kDecimals - (text.size() - std::min(text.size(), point + 1)), '0');
  Units units = 0;
  for (const char c : digits) units = units * 10 + (c - '0');
  return negative ? -units : units;
}

std::int64_t cents_of(Units a, Units b) {
  // With more the product is beyond kMostCents whatever the other is, unless that is 0.
  constexpr Units kMost = static_cast<Units>(kOne) * kOne * kOne;
  const bool negative = (a < 0) != (b < 0);
  a = std::min(a < 0 ? -a : a, kMost);
  b = std::min(b < 0 ? -b : b, kMost);
  const Units cross =
      (a / kOne) * (b % kOne) + (a % kOne) * (b / kOne) + (a % kOne) * (b % kOne) / kOne + kOne / 2;
  Units cents = 0;
  const bool overflows = __builtin_mul_overflow(a / kOne, b / kOne, &cents);
  cents = overflows ? kMostCents : std::min<Units>(cents + cross / kOne, kMostCents);
  return static_cast<std::int64_t>(negative ? -cents : cents);
}

Units units_of_double(double value) { return read_units(fmt::format("{:.12f}", value)); }

double double_of(Units units) { return std::strtod(text_of(units).c_str(), nullptr); }

Units add(Units a, Units b) {
  Units sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) throw std::overflow_error("the sandbox's sum overflows");
  return sum;
}

}  // namespace tally::sandbox
