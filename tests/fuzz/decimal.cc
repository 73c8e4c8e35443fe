// core/decimal.h: every text against slow arithmetic on its digits as a string.
#include "core/decimal.h"

#include "core/check.h"
#include "core/limits.h"
#include "tests/fuzz/target.h"

#include <algorithm>
#include <regex>
#include <string>

namespace tally::fuzz {
namespace {

constexpr std::size_t kMaxTextBytes = 512;  // std::regex recurses once for each byte
constexpr int kLongShift = 2 * kMaxTextBytes;
constexpr std::size_t kWholeDigits = core::Decimal::kMaxDigits - core::Decimal::kScale;

// The exponent, cut where it would move any digit of such a text past both limits.
int shift_of(std::string sign, std::string digits) {
  digits.erase(0, digits.find_first_not_of('0'));
  const int shift = digits.empty()      ? 0
                    : digits.size() > 4 ? kLongShift
                                        : std::min(std::stoi(digits), kLongShift);
  return sign == "-" ? -shift : shift;
}

// The number's plain text, or why it must be refused.
std::string expected(const std::string& text) {
  static const std::regex kNumber(R"((-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?)");
  std::smatch parts;
  if (!std::regex_match(text, parts, kNumber)) return "not a JSON number";
  std::string digits = parts.str(2) + parts.str(3);
  const auto point = static_cast<int>(parts.length(2)) + shift_of(parts.str(4), parts.str(5));
  if (point < 0) digits.insert(0, static_cast<std::size_t>(-point), '0');
  const auto whole_size = static_cast<std::size_t>(std::max(point, 0));
  if (whole_size > digits.size()) digits.append(whole_size - digits.size(), '0');

  std::string whole = digits.substr(0, whole_size);
  whole.erase(0, whole.find_first_not_of('0'));
  std::string fraction = digits.substr(whole_size);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (fraction.size() > core::Decimal::kScale) return "more than 12 decimals";
  if (whole.size() > kWholeDigits) return "more than 38 digits";
  if (whole.empty() && fraction.empty()) return "0";
  return parts.str(1) + (whole.empty() ? "0" : whole) + (fraction.empty() ? "" : "." + fraction);
}

}  // namespace

void one_input(std::string_view input) {
  const std::string text(input.substr(0, kMaxTextBytes));
  const auto value = core::Decimal::parse(text);
  const std::string wanted = expected(text);
  const std::string got = value ? value.value().to_string() : value.error().message;
  TALLY_CHECK(got == wanted, "`{}` was read as {}, it is {}", text, got, wanted);
  if (!value) return;
  const core::Int128 units = value.value().units();
  TALLY_CHECK(units <= core::kMaxDecimalUnits && units >= -core::kMaxDecimalUnits);
  const auto again = core::Decimal::parse(got);
  TALLY_CHECK(again && again.value() == value.value(), "{} does not come back", got);
  const auto opposite = core::Decimal().checked_subtract(value.value());
  TALLY_CHECK(opposite && opposite->units() == -units, "{} has no opposite", got);
}

}  // namespace tally::fuzz
