#include "tests/simulation/exporter/usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tally::simulation::exporting {
namespace {

using core::Timestamp;

Whole power_of_ten(int exponent) {
  Whole power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

struct MeterChoice {
  const char* multiplier;
  MeterFacts facts;
  int decimals;
  core::Rounding rounding;
};
constexpr std::array kChoices = {
    MeterChoice{"1", {1, 1}, 0, core::Rounding::kHalfUp},
    MeterChoice{"0.001", {1, 1000}, 0, core::Rounding::kHalfUp},
    MeterChoice{"0.001", {1, 1000}, 2, core::Rounding::kUp},
    MeterChoice{"2.5", {5, 2}, 3, core::Rounding::kDown},
    MeterChoice{"1", {1, 1}, 1, core::Rounding::kHalfEven},
    MeterChoice{"1000", {1000, 1}, 0, core::Rounding::kUp},
};

}  // namespace

std::string text_of(Whole number, int decimals) {
  const Whole one = power_of_ten(decimals);
  const bool negative = number < 0;
  const Whole magnitude = negative ? -number : number;
  const std::string text = fmt::format("{}{}", negative ? "-" : "", magnitude / one);
  if (decimals == 0) return text;
  return fmt::format("{}.{:0{}}", text, static_cast<std::uint64_t>(magnitude % one), decimals);
}

Usage::Usage(Dice& dice, Timestamp start, Timestamp end) : dice_(dice) {
  draw_series();
  // Edges fall on any second.
  std::int64_t edge = start.seconds() - dice.between(60, 86'400);
  while (edge < end.seconds()) {
    const std::int64_t length =
        dice.one_in(4) ? dice.between(1'800, 14'400) : dice.between(21'600, 4 * 86'400);
    periods.push_back({Timestamp::from_seconds(edge), Timestamp::from_seconds(edge + length)});
    edge += length;
  }
}

void Usage::draw_series() {
  const std::size_t customers = 1 + dice_.below(3);
  const std::size_t meters = 1 + dice_.below(3);
  for (std::size_t meter = 0; meter < meters; ++meter) {
    const MeterChoice& choice = kChoices.at(dice_.below(kChoices.size()));
    const auto formula = dice_.one_in(4) ? exporter::Formula::kLast : exporter::Formula::kSum;
    for (std::size_t customer = 0; customer < customers; ++customer) {
      const std::string name = fmt::format("meter{}", meter);
      series.push_back({fmt::format("cus_{}", customer), fmt::format("tenant{}", customer), name,
                        name, formula, core::Decimal::parse(choice.multiplier).value(),
                        choice.decimals, choice.rounding});
      facts_.push_back(choice.facts);
    }
  }
}

std::size_t Usage::period_at(Timestamp time) const {
  std::size_t period = 0;
  while (period + 1 < periods.size() && time >= periods[period].end) ++period;
  return period;
}

Usage::Kind Usage::use_one(Timestamp now) {
  remember_targets(now);  // a period may have closed since
  const std::size_t which = dice_.below(series.size());
  std::size_t period = period_at(now);
  const bool late = period > 0 && dice_.one_in(5);
  if (late) --period;
  const bool gauge = series[which].formula == exporter::Formula::kLast;
  if (gauge && (late || now >= periods[period].end)) return Kind::kNone;
  Book& book = books[{which, period}];
  book.used = true;
  if (gauge) {
    book.total = dice_.between(0, 9'000) * 100'000;
    book.read_at = now;
    remember_targets(now);
    return Kind::kStated;
  }
  Kind kind = late ? Kind::kLate : Kind::kGrew;
  if (dice_.one_in(12) && book.total > 0) {
    book.total -= static_cast<Whole>(dice_.between(1, 4'000'000));
    kind = Kind::kCorrected;
  } else if (dice_.one_in(60)) {
    // Some ten events' worth in Stripe's units.
    const int zeros = facts_[which].numerator == 1000 ? 11 : 14;
    book.total += static_cast<Whole>(dice_.between(1, 30)) * power_of_ten(kUseDecimals + zeros) + 7;
    kind = Kind::kHuge;
  } else {
    book.total += static_cast<Whole>(dice_.between(1, 3'000'000'000));
  }
  remember_targets(now);
  return kind;
}

Whole Usage::target(std::size_t one, std::size_t period, Timestamp now) const {
  const auto found = books.find({one, period});
  if (found == books.end()) return 0;
  const bool gauge = series[one].formula == exporter::Formula::kLast;
  const Whole dividend =
      found->second.total * facts_[one].numerator * power_of_ten(series[one].decimals);
  const Whole divisor = power_of_ten(kUseDecimals) * facts_[one].denominator;
  const Whole magnitude = dividend < 0 ? -dividend : dividend;
  Whole count = magnitude / divisor;
  const Whole twice_rest = magnitude % divisor * 2;
  if (twice_rest != 0 && (gauge || now >= periods[period].end)) {
    const core::Rounding rounding = series[one].rounding;
    if (rounding == core::Rounding::kUp) ++count;
    if (rounding == core::Rounding::kHalfUp && twice_rest >= divisor) ++count;
    if (rounding == core::Rounding::kHalfEven &&
        (twice_rest > divisor || (twice_rest == divisor && count % 2 == 1)))
      ++count;
  }
  return dividend < 0 ? -count : count;
}

void Usage::remember_targets(Timestamp now) {
  for (auto& [key, book] : books) {
    const Whole target_now = target(key.first, key.second, now);
    book.least = std::min(book.least, target_now);
    book.most = std::max(book.most, target_now);
  }
}

}  // namespace tally::simulation::exporting
