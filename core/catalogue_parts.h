// What the catalogue's sources share; others include core/catalogue.h.
#pragma once

#include "core/catalogue.h"
#include "core/json_value.h"
#include "core/result.h"

#include <string>

namespace tally::core {

// `entry` names the place in error messages until the slug is known: "meters[3]".
[[nodiscard]] Result<Meter> parse_meter_value(const JsonValue& value, std::string entry);
[[nodiscard]] Result<Plan> parse_plan_value(const JsonValue& value, std::string entry);

}  // namespace tally::core
