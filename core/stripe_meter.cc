#include "core/stripe_meter.h"

#include "core/check.h"

#include <fmt/format.h>

#include <map>
#include <utility>

namespace tally::core {
namespace {

std::string shown(std::string_view text) {
  return text.empty() ? std::string("nothing") : fmt::format("\"{}\"", text);
}

// What cannot be changed at Stripe once a meter is made.
std::string make_another(const StripeMeter& found) {
  return fmt::format(
      "deactivate {} at Stripe, then tally-admin stripe apply makes a right one of the same name, "
      "which needs prices and subscription items of its own",
      found.id);
}

// All but whether it is active.
std::vector<std::string> faults_of(const StripeMeter& found, StripeFormula formula) {
  std::vector<std::string> faults;
  if (found.formula != to_string(formula)) {
    faults.push_back(fmt::format("{} has the formula {}, but tally's values need \"{}\": {}",
                                 found.id, shown(found.formula), to_string(formula),
                                 make_another(found)));
  }
  if (!found.event_time_window.empty()) {
    faults.push_back(
        fmt::format("{} is pre-aggregated (event_time_window {}): of the events of one window it "
                    "keeps the last alone: {}",
                    found.id, shown(found.event_time_window), make_another(found)));
  }
  if (found.customer_type != "by_id" || found.customer_key != kStripeCustomerKey) {
    faults.push_back(fmt::format(
        "{} has the customer_mapping {} {}, but tally writes the customer's id as \"{}\": {}",
        found.id, shown(found.customer_type), shown(found.customer_key), kStripeCustomerKey,
        make_another(found)));
  }
  if (found.value_key != kStripeValueKey) {
    faults.push_back(fmt::format(
        "{} reads the value from {} (value_settings), but tally writes it as \"{}\": {}", found.id,
        shown(found.value_key), kStripeValueKey, make_another(found)));
  }
  return faults;
}

}  // namespace

std::string_view to_string(StripeFormula formula) {
  return formula == StripeFormula::kSum ? "sum" : "last";
}

std::optional<StripeFormula> stripe_formula(Aggregation aggregation) {
  switch (aggregation) {
    case Aggregation::kSum:
    case Aggregation::kCount:
    case Aggregation::kMax:
    case Aggregation::kUniqueCount:
      return StripeFormula::kSum;
    case Aggregation::kLatest:
      return StripeFormula::kLast;
    case Aggregation::kMin:
      return std::nullopt;
  }
  return std::nullopt;
}

MeterCheck check_stripe_meter(const Meter& meter, std::span<const StripeMeter> at_stripe) {
  TALLY_CHECK(meter.stripe.has_value(), "{} has no Stripe mapping", meter.slug);
  MeterCheck check;
  check.slug = meter.slug;
  check.event_name = meter.stripe->event_name;
  const auto formula = stripe_formula(meter.aggregation);
  if (!formula.has_value()) {
    check.fit = MeterFit::kNotExported;
    return check;
  }
  check.formula = *formula;
  const StripeMeter* found = nullptr;
  for (const StripeMeter& candidate : at_stripe) {
    if (candidate.event_name != check.event_name) continue;
    // An inactive one that would be unfit otherwise too keeps nobody from making another.
    if (!candidate.is_active && !faults_of(candidate, *formula).empty()) continue;
    if (found == nullptr || (candidate.is_active && !found->is_active)) found = &candidate;
  }
  if (found == nullptr) return check;
  check.stripe_meter = found->id;
  check.faults = faults_of(*found, *formula);
  if (!found->is_active) {
    check.faults.push_back(fmt::format(
        "{} is inactive, so Stripe refuses its events: reactivate it at Stripe", found->id));
  }
  check.fit = check.faults.empty() ? MeterFit::kFits : MeterFit::kUnfit;
  return check;
}

std::vector<std::string> double_items(std::span<const MeterCheck> meters,
                                      std::span<const MeteredItem> items) {
  std::map<std::string, std::string> slugs;  // by Stripe's id
  for (const MeterCheck& meter : meters) {
    if (!meter.stripe_meter.empty()) slugs.emplace(meter.stripe_meter, meter.slug);
  }
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> series;
  for (const MeteredItem& item : items) {
    if (!slugs.contains(item.stripe_meter)) continue;
    series[{item.stripe_meter, item.customer}].push_back(
        fmt::format("{} of {}", item.item, item.subscription));
  }
  std::vector<std::string> clashes;
  for (const auto& [key, of] : series) {
    if (of.size() < 2) continue;
    clashes.push_back(
        fmt::format("{}: customer {} has {} items on {}: {}: Stripe would bill the same use by "
                    "each: remove all but one",
                    slugs.at(key.first), key.second, of.size(), key.first, fmt::join(of, ", ")));
  }
  return clashes;
}

}  // namespace tally::core
