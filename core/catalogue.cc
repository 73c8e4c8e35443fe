#include "core/catalogue.h"

#include "core/catalogue_fields.h"
#include "core/catalogue_parts.h"
#include "core/json_value.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <array>
#include <set>
#include <utility>

namespace tally::core {
namespace {

constexpr std::array<std::string_view, 4> kStatuses = {"active", "trialing", "past_due",
                                                       "canceled"};

Result<Tenant> parse_tenant(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  Tenant tenant;
  tenant.id = fields.text("id", Bytes{kMaxTenantIdBytes});
  if (!fields.failed()) fields.rename(fmt::format("tenant \"{}\"", tenant.id));
  tenant.name = fields.optional_text("name", Bytes{kMaxNameBytes}).value_or(tenant.id);
  tenant.time_zone = fields.optional_text("time_zone", Bytes{kMaxNameBytes}).value_or("UTC");
  tenant.plan = fields.optional_text("plan", Bytes{kMaxSlugBytes}).value_or(std::string());
  tenant.status = kStatuses[fields.choice("status", kStatuses, 0)];
  tenant.stripe_customer = fields.optional_text("stripe_customer", Bytes{kMaxNameBytes});
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  return tenant;
}

// Parses each element of the array `name`, where there is one, with `parse`.
template <class Entry, class Parse>
void take_entries(CatalogueFields& fields, std::string_view name, std::vector<Entry>& out,
                  Parse parse) {
  const JsonValue* const list = fields.array(name);
  if (list == nullptr) return;
  out.reserve(list->children.size());
  for (std::size_t i = 0; i < list->children.size(); ++i) {
    auto entry = parse(list->children[i], fmt::format("{}[{}]", name, i));
    if (!entry) return fields.fail(entry.error());
    out.push_back(std::move(entry).value());
  }
}

template <class Entry>
std::optional<Error> repeated(std::string_view kind, std::string_view field,
                              const std::vector<Entry>& entries, std::string Entry::* name) {
  std::set<std::string_view> seen;
  for (const Entry& entry : entries) {
    if (seen.insert(entry.*name).second) continue;
    return invalid(fmt::format("{} \"{}\": field \"{}\": used by two {}s, rename one", kind,
                               entry.*name, field, kind));
  }
  return std::nullopt;
}

std::optional<Error> meters_error(const std::vector<Meter>& meters) {
  if (meters.size() > kMaxMeters) {
    return invalid(fmt::format("the catalogue has {} meters, the limit is {}: remove some",
                               meters.size(), kMaxMeters));
  }
  if (auto error = repeated("meter", "slug", meters, &Meter::slug)) return error;
  std::set<std::string_view> event_names;
  for (const Meter& meter : meters) {
    if (!meter.stripe || event_names.insert(meter.stripe->event_name).second) continue;
    return invalid(fmt::format(
        "meter \"{}\": stripe: field \"event_name\": \"{}\" belongs to another meter: Stripe would "
        "bill both as one, give each its own",
        meter.slug, meter.stripe->event_name));
  }
  return std::nullopt;
}

std::optional<Error> plans_error(const Catalogue& catalogue) {
  if (catalogue.plans.size() > kMaxPlans) {
    return invalid(fmt::format("the catalogue has {} plans, the limit is {}: remove some",
                               catalogue.plans.size(), kMaxPlans));
  }
  if (auto error = repeated("plan", "slug", catalogue.plans, &Plan::slug)) return error;
  std::set<std::string_view> meters;
  for (const Meter& meter : catalogue.meters) meters.insert(meter.slug);
  const auto unknown = [](const Plan& plan, std::string_view field, std::string_view meter) {
    return invalid(fmt::format(
        "plan \"{}\": field \"{}\": names the meter \"{}\", which is not in the catalogue",
        plan.slug, field, meter));
  };
  for (const Plan& plan : catalogue.plans) {
    for (const PlanLimit& limit : plan.limits) {
      if (meters.count(limit.meter) == 0) return unknown(plan, "limits", limit.meter);
    }
    for (const PlanRate& rate : plan.rates) {
      if (rate.unit != "requests" && meters.count(rate.unit) == 0) {
        return unknown(plan, "rates", rate.unit);
      }
    }
  }
  return std::nullopt;
}

std::optional<Error> tenants_error(const Catalogue& catalogue) {
  if (auto error = repeated("tenant", "id", catalogue.tenants, &Tenant::id)) return error;
  std::set<std::string_view> plans;
  for (const Plan& plan : catalogue.plans) plans.insert(plan.slug);
  std::set<std::string_view> customers;
  for (const Tenant& tenant : catalogue.tenants) {
    if (!tenant.plan.empty() && plans.count(tenant.plan) == 0) {
      return invalid(
          fmt::format("tenant \"{}\": field \"plan\": \"{}\" is not a plan of the catalogue",
                      tenant.id, tenant.plan));
    }
    if (tenant.stripe_customer && !customers.insert(*tenant.stripe_customer).second) {
      return invalid(
          fmt::format("tenant \"{}\": field \"stripe_customer\": \"{}\" belongs to another tenant",
                      tenant.id, *tenant.stripe_customer));
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Catalogue> parse_catalogue(std::string_view json) {
  if (json.size() > kMaxCatalogueBytes) {
    return invalid(fmt::format("the catalogue has {} bytes, the limit is {}: split off tenants",
                               json.size(), kMaxCatalogueBytes));
  }
  const auto document = parse_json(json);
  if (!document) return invalid("the catalogue is not JSON: " + document.error().message);
  CatalogueFields fields(document.value(), "the catalogue");
  fields.optional_value("$schema");
  Catalogue catalogue;
  take_entries(fields, "meters", catalogue.meters, parse_meter_value);
  take_entries(fields, "plans", catalogue.plans, parse_plan_value);
  take_entries(fields, "tenants", catalogue.tenants, parse_tenant);
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  if (auto error = meters_error(catalogue.meters)) return *std::move(error);
  if (auto error = plans_error(catalogue)) return *std::move(error);
  if (auto error = tenants_error(catalogue)) return *std::move(error);
  return catalogue;
}

}  // namespace tally::core
