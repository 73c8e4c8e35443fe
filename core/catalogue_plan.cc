// One plan: what it costs, what it allows and how fast.
#include "core/catalogue_fields.h"
#include "core/catalogue_parts.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace tally::core {
namespace {

using Kind = JsonValue::Kind;

constexpr std::array<std::string_view, 3> kPeriods = {"day", "month", "billing"};
constexpr std::array<std::string_view, 2> kOnLimit = {"block", "degrade"};
constexpr std::array<std::string_view, 2> kRateSpans = {"minute", "day"};
constexpr std::size_t kMonth = 1;
constexpr std::size_t kDegrade = 1;
constexpr std::size_t kDay = 1;

// Of the values a limit may have, only "-1" (unlimited) is negative.
void require_not_negative(CatalogueFields& fields, std::string_view name,
                          const std::optional<Decimal>& value) {
  if (value && value->is_negative()) fields.fail(name, "is negative: give 0 or more");
}

Result<PlanLimit> parse_limit(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  PlanLimit limit;
  limit.meter = fields.slug("meter");
  limit.limit = fields.optional_decimal("limit");
  if (!fields.failed() && !fields.has("limit")) {
    fields.fail("limit", "missing: give a decimal in quotes, or null for unlimited");
  }
  if (limit.limit == Decimal::from_int(-1)) limit.limit.reset();
  require_not_negative(fields, "limit", limit.limit);
  limit.soft_limit = fields.optional_decimal("soft_limit");
  require_not_negative(fields, "soft_limit", limit.soft_limit);
  if (limit.limit && limit.soft_limit && *limit.soft_limit > *limit.limit) {
    fields.fail("soft_limit", "is above the limit: lower it");
  }
  limit.degrade = fields.choice("on_limit", kOnLimit, 0) == kDegrade;
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  return limit;
}

Result<PlanRate> parse_rate(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  PlanRate rate;
  rate.unit = fields.slug("unit");
  const std::size_t span = fields.choice("per", kRateSpans, kRateSpans.size());
  if (span == kRateSpans.size()) fields.fail("per", "missing: minute or day");
  rate.per_day = span == kDay;
  const auto limit = fields.optional_decimal("limit");
  if (!limit) fields.fail("limit", "missing: give a decimal in quotes");
  require_not_negative(fields, "limit", limit);
  rate.limit = limit.value_or(Decimal());
  rate.burst = fields.optional_decimal("burst");
  require_not_negative(fields, "burst", rate.burst);
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  return rate;
}

void take_limits(CatalogueFields& fields, Plan& plan) {
  const JsonValue* const limits = fields.array("limits");
  if (limits == nullptr) return;
  for (std::size_t i = 0; i < limits->children.size(); ++i) {
    auto limit = parse_limit(limits->children[i], fmt::format("{}: limits[{}]", fields.entry(), i));
    if (!limit) return fields.fail(limit.error());
    for (const PlanLimit& earlier : plan.limits) {
      if (earlier.meter != limit.value().meter) continue;
      return fields.fail("limits",
                         fmt::format("names meter \"{}\" twice: keep one", earlier.meter));
    }
    plan.limits.push_back(std::move(limit).value());
  }
}

void take_rates(CatalogueFields& fields, Plan& plan) {
  const JsonValue* const rates = fields.array("rates");
  if (rates == nullptr) return;
  for (std::size_t i = 0; i < rates->children.size(); ++i) {
    auto rate = parse_rate(rates->children[i], fmt::format("{}: rates[{}]", fields.entry(), i));
    if (!rate) return fields.fail(rate.error());
    plan.rates.push_back(std::move(rate).value());
  }
}

void take_stripe_prices(CatalogueFields& fields, Plan& plan) {
  const JsonValue* const prices = fields.array("stripe_prices");
  if (prices == nullptr) return;
  for (const JsonValue& price : prices->children) {
    if (price.kind != Kind::kString || price.text.empty() || price.text.size() > kMaxNameBytes) {
      return fields.fail("stripe_prices", "holds something other than price ids or lookup keys");
    }
    plan.stripe_prices.push_back(price.text);
  }
}

void take_price(CatalogueFields& fields) {
  const auto price = fields.optional_decimal("price");
  require_not_negative(fields, "price", price);
  const auto currency = fields.optional_text("currency", Bytes{3});
  if (price && !currency) fields.fail("currency", "missing: a price needs one, such as \"usd\"");
}

}  // namespace

Result<Plan> parse_plan_value(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  Plan plan;
  plan.slug = fields.slug("slug");
  if (!fields.failed()) fields.rename(fmt::format("plan \"{}\"", plan.slug));
  plan.name = fields.text("name", Bytes{kMaxNameBytes});
  take_price(fields);
  take_stripe_prices(fields, plan);
  plan.period = kPeriods[fields.choice("period", kPeriods, kMonth)];
  take_limits(fields, plan);
  take_rates(fields, plan);
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  append_canonical(value, plan.definition);
  return plan;
}

}  // namespace tally::core
