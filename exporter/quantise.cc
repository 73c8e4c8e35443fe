#include "exporter/quantise.h"

#include "core/check.h"

#include <array>
#include <string>

namespace tally::exporter {
namespace {

__extension__ using Uint128 = unsigned __int128;
using core::Decimal;
using core::Int128;
using core::Rounding;

constexpr Uint128 kLimb = 10'000'000'000'000'000'000ULL;  // 10^19
constexpr std::size_t kLimbDigits = 19;

constexpr Int128 power_of_ten(int exponent) {
  Int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}
constexpr Int128 kOne = power_of_ten(Decimal::kScale);
constexpr Int128 kMaxUnits = power_of_ten(Decimal::kMaxDigits) - 1;
constexpr Int128 kLargestChunk = (power_of_ten(kMaxStripeDigits) - 1) * kOne;

Uint128 magnitude(Int128 units) {
  return units < 0 ? Uint128{0} - static_cast<Uint128>(units) : static_cast<Uint128>(units);
}

// The product of two magnitudes below 10^38 as 76 digits, most significant first.
std::string product_digits(Uint128 a, Uint128 b) {
  const std::array<Uint128, 2> left{a % kLimb, a / kLimb};
  const std::array<Uint128, 2> right{b % kLimb, b / kLimb};
  std::array<Uint128, 4> limbs{};
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 2; ++j) {
      const Uint128 part = left.at(i) * right.at(j);  // below 10^38
      limbs.at(i + j) += part % kLimb;
      limbs.at(i + j + 1) += part / kLimb;
    }
  }
  std::string digits(4 * kLimbDigits, '0');
  Uint128 carry = 0;
  for (std::size_t limb = 0; limb < 4; ++limb) {
    const Uint128 sum = limbs.at(limb) + carry;
    carry = sum / kLimb;
    auto rest = static_cast<std::uint64_t>(sum % kLimb);
    for (std::size_t place = 0; place < kLimbDigits; ++place, rest /= 10) {
      digits[digits.size() - 1 - limb * kLimbDigits - place] = static_cast<char>('0' + rest % 10);
    }
  }
  TALLY_CHECK(carry == 0);
  return digits;
}

bool rounds_away(const std::string& dropped, int last_kept_digit, Rounding rounding) {
  if (dropped.find_first_not_of('0') == std::string::npos) return false;
  const std::string half = "5" + std::string(dropped.size() - 1, '0');
  switch (rounding) {
    case Rounding::kDown:
      return false;
    case Rounding::kUp:
      return true;
    case Rounding::kHalfUp:
      return dropped >= half;
    case Rounding::kHalfEven:
      return dropped > half || (dropped == half && last_kept_digit % 2 == 1);
  }
  TALLY_CHECK(false, "rounding {}", static_cast<int>(rounding));
  return false;
}

}  // namespace

std::optional<Decimal> to_stripe_units(Decimal total, Decimal multiplier, int decimals,
                                       Rounding rounding) {
  TALLY_CHECK(decimals >= 0 && decimals <= Decimal::kScale, "decimals {}", decimals);
  const std::string digits =
      product_digits(magnitude(total.units()), magnitude(multiplier.units()));
  const auto dropped_count = static_cast<std::size_t>(2 * Decimal::kScale - decimals);
  const std::string kept = digits.substr(0, digits.size() - dropped_count);
  const std::string dropped = digits.substr(kept.size());

  Int128 quantum = power_of_ten(Decimal::kScale - decimals);
  Int128 count = 0;
  for (const char digit : kept) {
    if (count > kMaxUnits / quantum / 10) return std::nullopt;
    count = count * 10 + (digit - '0');
  }
  if (rounds_away(dropped, static_cast<int>(count % 10), rounding)) ++count;
  if (count > kMaxUnits / quantum) return std::nullopt;
  const bool negative = total.is_negative() != multiplier.is_negative();
  return Decimal::from_units(negative ? -count * quantum : count * quantum);
}

std::optional<Decimal> to_tally_units(Decimal value, Decimal multiplier) {
  const Uint128 divisor = magnitude(multiplier.units());
  if (divisor == 0 || divisor > magnitude(kMaxUnits) / 10) return std::nullopt;
  const Uint128 dividend = magnitude(value.units());
  Uint128 quotient = dividend / divisor;
  Uint128 rest = dividend % divisor;
  for (int place = 0; place < Decimal::kScale; ++place) {
    if (quotient > magnitude(kMaxUnits) / 10) return std::nullopt;
    rest *= 10;
    quotient = quotient * 10 + rest / divisor;
    rest %= divisor;
  }
  if (rest * 2 >= divisor) ++quotient;
  if (quotient > magnitude(kMaxUnits)) return std::nullopt;
  const auto units = static_cast<Int128>(quotient);
  return Decimal::from_units(value.is_negative() != multiplier.is_negative() ? -units : units);
}

int printed_digits(Decimal value) {
  Uint128 units = magnitude(value.units());
  if (units == 0) return 1;
  int trimmed = 0;
  while (trimmed < Decimal::kScale && units % 10 == 0) {
    units /= 10;
    ++trimmed;
  }
  int digits = 0;
  for (; units != 0; units /= 10) ++digits;
  return digits;
}

std::optional<Decimal> first_chunk(Decimal value) {
  if (printed_digits(value) <= kMaxStripeDigits) return value;
  const Uint128 units = magnitude(value.units());
  const auto largest = static_cast<Uint128>(kLargestChunk);
  if (units / largest >= static_cast<Uint128>(kMaxChunks)) return std::nullopt;
  Uint128 chunk = largest;
  if (units < largest) {
    // Cut digits from the right until 15 are left; what is cut follows in the next row.
    Uint128 quantum = 1;
    while (units / quantum >= static_cast<Uint128>(power_of_ten(kMaxStripeDigits))) quantum *= 10;
    chunk = units / quantum * quantum;
  }
  const auto part = static_cast<Int128>(chunk);
  const Decimal result = Decimal::from_units(value.is_negative() ? -part : part);
  TALLY_CHECK(!result.is_zero() && printed_digits(result) <= kMaxStripeDigits);
  return result;
}

}  // namespace tally::exporter
