// What can be known of the database by reading it.
#pragma once

#include "core/meter.h"
#include "exporter/doctor/clock.h"
#include "exporter/doctor/finding.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tally::exporter::doctor {

struct DatabaseReport {
  Findings findings;
  std::vector<core::Meter> meters;  // of the stored catalogue, those with a Stripe mapping
};

// How many migrations the database has and the last one's number, beside what this program was
// built with. Pure.
struct Schema {
  std::int64_t migrations = 0;
  std::int64_t last = 0;
};
[[nodiscard]] Schema built_schema();
[[nodiscard]] Finding check_schema(Schema stored, Schema built);

// Connects, looks and disconnects. Never throws for what the database does; its texts hold no
// password.
[[nodiscard]] DatabaseReport check_database(const std::string& conninfo, const Now& now);

}  // namespace tally::exporter::doctor
