// core/catalogue.h: what is read is written as JSON and read again; the second text is the first.
#include "core/catalogue.h"

#include "aggregator/meter_set.h"
#include "core/check.h"
#include "core/json_cursor.h"
#include "tests/fuzz/target.h"

#include <fmt/format.h>

#include <string>

namespace tally::fuzz {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  core::append_json_string(text, out);
  return out;
}

std::string text_of(const core::Tenant& tenant) {
  std::string text =
      fmt::format(R"({{"id":{},"name":{},"time_zone":{},"status":{})", in_quotes(tenant.id),
                  in_quotes(tenant.name), in_quotes(tenant.time_zone), in_quotes(tenant.status));
  if (!tenant.plan.empty()) text += ",\"plan\":" + in_quotes(tenant.plan);
  if (tenant.stripe_customer) text += ",\"stripe_customer\":" + in_quotes(*tenant.stripe_customer);
  return text + "}";
}

// `"name":[…]` of what `write` makes of each entry.
template <class Entry, class Write>
std::string list_of(std::string_view name, const std::vector<Entry>& entries, Write write) {
  std::string text;
  for (const Entry& entry : entries) text += (text.empty() ? "" : ",") + write(entry);
  return fmt::format(R"("{}":[{}])", name, text);
}

std::string text_of(const core::Catalogue& catalogue) {
  return "{" + list_of("meters", catalogue.meters, core::meter_definition) + "," +
         list_of("plans", catalogue.plans, [](const core::Plan& plan) { return plan.definition; }) +
         "," +
         list_of("tenants", catalogue.tenants,
                 [](const core::Tenant& tenant) { return text_of(tenant); }) +
         "}";
}

// What a plan says, apart from its definition, for comparison.
std::string account_of(const core::Plan& plan) {
  const auto shown = [](const std::optional<core::Decimal>& value) {
    return value ? value->to_string() : "none";
  };
  std::string text = fmt::format("{} {} {} {}\n", plan.slug, plan.name, plan.period,
                                 fmt::join(plan.stripe_prices, " "));
  for (const core::PlanLimit& limit : plan.limits) {
    TALLY_CHECK(!limit.limit || !limit.limit->is_negative());
    text += fmt::format("{} {} {} {}\n", limit.meter, shown(limit.limit), shown(limit.soft_limit),
                        limit.degrade);
  }
  for (const core::PlanRate& rate : plan.rates) {
    text += fmt::format("{} {} {} {}\n", rate.unit, rate.per_day, rate.limit.to_string(),
                        shown(rate.burst));
  }
  return text;
}

void check_meter(const core::Meter& meter) {
  const std::string definition = core::meter_definition(meter);
  const auto again = core::parse_meter(definition);
  TALLY_CHECK(again, "{}: {}", again.error().message, definition);
  TALLY_CHECK(core::meter_definition(again.value()) == definition, "{}", definition);
}

void check_compiled(const core::Catalogue& catalogue) {
  const aggregator::MeterSet meters(catalogue.meters, core::CatalogueVersion(1),
                                    core::CatalogueVersion(1));
  for (const core::Meter& meter : catalogue.meters) {
    const aggregator::TypePlan* const plan = meters.find(meter.event_type);
    TALLY_CHECK(plan != nullptr, "{}", meter.slug);
    for (const aggregator::CompiledMeter& compiled : plan->meters) {
      TALLY_CHECK(compiled.value == aggregator::kNoSlot || compiled.value < plan->slots);
    }
  }
}

}  // namespace

void one_input(std::string_view input) {
  const auto catalogue = core::parse_catalogue(input);
  if (!catalogue) {
    TALLY_CHECK(!catalogue.error().message.empty());
    TALLY_CHECK(core::valid_utf8(catalogue.error().message), "{}", catalogue.error().message);
    return;
  }
  const std::string text = text_of(catalogue.value());
  const auto again = core::parse_catalogue(text);
  TALLY_CHECK(again, "{}: {}", again.error().message, text);
  TALLY_CHECK(text_of(again.value()) == text, "{}", text);
  for (std::size_t i = 0; i < catalogue.value().plans.size(); ++i) {
    TALLY_CHECK(account_of(again.value().plans[i]) == account_of(catalogue.value().plans[i]), "{}",
                text);
  }
  for (const core::Meter& meter : catalogue.value().meters) check_meter(meter);
  check_compiled(catalogue.value());
}

}  // namespace tally::fuzz
