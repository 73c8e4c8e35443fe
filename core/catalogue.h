// The catalogue: meters, plans and tenants, from the text of catalogue.json or from the definitions
// stored in Postgres. Pure: no I/O. Every error names the entry, the field and the limit.
#pragma once

#include "core/ids.h"
#include "core/meter.h"
#include "core/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

struct PlanLimit {
  std::string meter;
  std::optional<Decimal> limit;  // nullopt: unlimited
  std::optional<Decimal> soft_limit;
  bool degrade = false;  // at the limit: degrade instead of block
};

struct PlanRate {
  std::string unit;      // "requests", or a meter whose units are limited
  bool per_day = false;  // else per minute
  Decimal limit;
  std::optional<Decimal> burst;
};

struct Plan {
  std::string slug;
  std::string name;
  std::vector<std::string> stripe_prices;  // price ids or lookup keys
  std::string period = "month";            // day | month | billing
  std::vector<PlanLimit> limits;           // a meter not listed is not allowed
  std::vector<PlanRate> rates;
  std::string definition;  // the entry's canonical JSON, as stored
};

struct Tenant {
  std::string id;
  std::string name;
  std::string time_zone = "UTC";
  std::string plan;
  std::string status = "active";  // active | trialing | past_due | canceled
  std::optional<std::string> stripe_customer;
};

struct Catalogue {
  std::vector<Meter> meters;
  std::vector<Plan> plans;
  std::vector<Tenant> tenants;
};

// The whole of catalogue.json. Decimals stand in strings ("0.000015"), so that no number passes a
// double; a duplicate key or an unknown field is an error.
[[nodiscard]] Result<Catalogue> parse_catalogue(std::string_view json);

// One meter's canonical JSON (sorted keys, no white space): what is stored, compared and parsed
// back.
[[nodiscard]] std::string meter_definition(const Meter& meter);
[[nodiscard]] Result<Meter> parse_meter(std::string_view definition);

}  // namespace tally::core
