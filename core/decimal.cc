#include "core/decimal.h"

#include "core/check.h"
#include "core/limits.h"

#include <algorithm>
#include <array>

namespace tally::core {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr std::int64_t kUnitsPerWhole = 1'000'000'000'000;
constexpr std::size_t kShortDigits = 18;  // any 18 digits fit 64 bits
// No text in memory is as long, so an exponent past it decides alone.
constexpr std::int64_t kExponentBound = std::int64_t{1} << 56;

constexpr auto kPowersOfTen = [] {
  std::array<Int128, Decimal::kMaxDigits + 1> powers{};
  Int128 power = 1;
  for (Int128& slot : powers) {
    slot = power;
    if (&slot != &powers.back()) power *= 10;
  }
  return powers;
}();
static_assert(kPowersOfTen[Decimal::kScale] == kUnitsPerWhole);
static_assert(kPowersOfTen[Decimal::kMaxDigits] - 1 == kMaxDecimalUnits);

constexpr Uint128 magnitude(Int128 value) {
  return value < 0 ? Uint128{0} - static_cast<Uint128>(value) : static_cast<Uint128>(value);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Decimal> within_digits(Int128 units) {
  if (magnitude(units) > static_cast<Uint128>(kMaxDecimalUnits)) return std::nullopt;
  return Decimal::from_units(units);
}

std::string_view take_digits(std::string_view& rest) {
  std::size_t count = 0;
  while (count < rest.size() && is_digit(rest[count])) ++count;
  const std::string_view digits = rest.substr(0, count);
  rest.remove_prefix(count);
  return digits;
}

struct NumberText {
  bool negative = false;
  std::string_view whole;
  std::string_view fraction;
  std::int64_t exponent = 0;
};

std::optional<std::int64_t> read_exponent(std::string_view& rest) {
  rest.remove_prefix(1);  // e or E
  bool negative = false;
  if (!rest.empty() && (rest.front() == '+' || rest.front() == '-')) {
    negative = rest.front() == '-';
    rest.remove_prefix(1);
  }
  const std::string_view digits = take_digits(rest);
  if (digits.empty()) return std::nullopt;
  std::int64_t value = 0;
  for (const char digit : digits) {
    value = std::min(value * 10 + (digit - '0'), kExponentBound);
  }
  return negative ? -value : value;
}

std::optional<NumberText> split_number(std::string_view rest) {
  NumberText number;
  if (!rest.empty() && rest.front() == '-') {
    number.negative = true;
    rest.remove_prefix(1);
  }
  number.whole = take_digits(rest);
  if (number.whole.empty()) return std::nullopt;
  if (number.whole.size() > 1 && number.whole.front() == '0') return std::nullopt;
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    number.fraction = take_digits(rest);
    if (number.fraction.empty()) return std::nullopt;
  }
  if (!rest.empty() && (rest.front() == 'e' || rest.front() == 'E')) {
    const auto exponent = read_exponent(rest);
    if (!exponent) return std::nullopt;
    number.exponent = *exponent;
  }
  if (!rest.empty()) return std::nullopt;
  return number;
}

// The digits of whole and fraction as one run, without the zeros at either end.
struct Significant {
  std::int64_t first = 0;  // index into whole ++ fraction
  std::int64_t count = 0;
};

char digit_at(const NumberText& number, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  return i < number.whole.size() ? number.whole[i] : number.fraction[i - number.whole.size()];
}

Significant significant_digits(const NumberText& number) {
  const auto total = static_cast<std::int64_t>(number.whole.size() + number.fraction.size());
  std::int64_t first = 0;
  while (first < total && digit_at(number, first) == '0') ++first;
  std::int64_t last = total;
  while (last > first && digit_at(number, last - 1) == '0') --last;
  return {first, last - first};
}

Result<Decimal> parse_any(std::string_view text) {
  const auto number = split_number(text);
  if (!number) return invalid("not a JSON number");
  const Significant digits = significant_digits(*number);
  if (digits.count == 0) return Decimal();
  // The last significant digit stands for 10^place units.
  const auto point = static_cast<std::int64_t>(number->whole.size());
  const std::int64_t place =
      point - digits.first - digits.count + number->exponent + Decimal::kScale;
  if (place < 0) return invalid("more than 12 decimals");
  if (digits.count + place > Decimal::kMaxDigits) return invalid("more than 38 digits");
  Int128 units = 0;
  for (std::int64_t i = 0; i < digits.count; ++i) {
    units = units * 10 + (digit_at(*number, digits.first + i) - '0');
  }
  units *= kPowersOfTen[static_cast<std::size_t>(place)];
  return Decimal::from_units(number->negative ? -units : units);
}

// Whether the magnitude moves one step away from zero, for `rest` units past the step below.
bool rounds_away(Uint128 rest, Uint128 step, bool odd, Rounding rounding) {
  switch (rounding) {
    case Rounding::kDown:
      return false;
    case Rounding::kUp:
      return rest != 0;
    case Rounding::kHalfUp:
      return rest * 2 >= step;
    case Rounding::kHalfEven:
      return rest * 2 > step || (rest * 2 == step && odd);
  }
  check_failed("a known rounding", __FILE__, __LINE__, "");
}

}  // namespace

Decimal Decimal::from_int(std::int64_t whole) { return Decimal(Int128{whole} * kUnitsPerWhole); }

Result<Decimal> Decimal::parse(std::string_view json_number) {
  if (json_number.empty() || json_number.size() > kShortDigits) return parse_any(json_number);
  std::int64_t whole = 0;
  for (const char c : json_number) {
    if (!is_digit(c)) return parse_any(json_number);
    whole = whole * 10 + (c - '0');
  }
  if (json_number.front() == '0' && json_number.size() > 1) return parse_any(json_number);
  return from_int(whole);
}

std::optional<Decimal> Decimal::checked_add(Decimal other) const {
  Int128 sum = 0;
  if (__builtin_add_overflow(units_, other.units_, &sum)) return std::nullopt;
  return within_digits(sum);
}

std::optional<Decimal> Decimal::checked_subtract(Decimal other) const {
  Int128 difference = 0;
  if (__builtin_sub_overflow(units_, other.units_, &difference)) return std::nullopt;
  return within_digits(difference);
}

std::optional<Decimal> Decimal::checked_multiply(Decimal other) const {
  // units × units / 10^12 is whole exactly when what is left of 10^12, after its common divisor
  // with the one factor, divides the other; so the 256-bit product is never needed.
  Uint128 left = magnitude(units_);
  Uint128 right = magnitude(other.units_);
  auto divisor = static_cast<Uint128>(kUnitsPerWhole);
  Uint128 common = left;
  for (Uint128 rest = divisor; rest != 0;) {
    const Uint128 next = common % rest;
    common = rest;
    rest = next;
  }
  left /= common;
  divisor /= common;
  if (right % divisor != 0) return std::nullopt;
  right /= divisor;
  Uint128 product = 0;
  if (__builtin_mul_overflow(left, right, &product)) return std::nullopt;
  if (product > static_cast<Uint128>(kMaxDecimalUnits)) return std::nullopt;
  const auto units = static_cast<Int128>(product);
  return Decimal(is_negative() == other.is_negative() ? units : -units);
}

std::optional<Decimal> Decimal::rounded(int decimals, Rounding rounding) const {
  TALLY_CHECK(decimals >= 0 && decimals <= kScale, "decimals {}", decimals);
  const auto step = static_cast<Uint128>(kPowersOfTen[static_cast<std::size_t>(kScale - decimals)]);
  const Uint128 size = magnitude(units_);
  Uint128 steps = size / step;
  if (rounds_away(size % step, step, steps % 2 != 0, rounding)) ++steps;
  const Uint128 units = steps * step;
  if (units > static_cast<Uint128>(kMaxDecimalUnits)) return std::nullopt;
  return Decimal(is_negative() ? -static_cast<Int128>(units) : static_cast<Int128>(units));
}

void Decimal::append_to(std::string& out) const {
  std::array<char, 48> buffer{};
  auto* const end = buffer.data() + buffer.size();
  auto* begin = end;
  const Uint128 size = magnitude(units_);
  auto fraction = static_cast<std::uint64_t>(size % static_cast<Uint128>(kUnitsPerWhole));
  Uint128 whole = size / static_cast<Uint128>(kUnitsPerWhole);
  if (fraction != 0) {
    int digits = kScale;
    for (; fraction % 10 == 0; fraction /= 10) --digits;
    for (; digits > 0; --digits, fraction /= 10) *--begin = static_cast<char>('0' + fraction % 10);
    *--begin = '.';
  }
  do {
    *--begin = static_cast<char>('0' + static_cast<int>(whole % 10));
    whole /= 10;
  } while (whole != 0);
  if (is_negative()) *--begin = '-';
  out.append(begin, end);
}

std::string Decimal::to_string() const {
  std::string out;
  append_to(out);
  return out;
}

}  // namespace tally::core
