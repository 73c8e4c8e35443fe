// What stands in the tables against what the case says, as a person reads it. Pure.
#pragma once

#include "tests/golden/case_file.h"
#include "tests/simulation/tables.h"

#include <string>

namespace tally::golden {

// Of days, months and periods what the case tells.
[[nodiscard]] Books books_in(const simulation::Tables& tables, const GoldenCase& golden);

// "", or a table of the lines that differ, expected and got side by side. Times of day count from
// `day_seconds`, as in the case.
[[nodiscard]] std::string differences(const Books& expected, const Books& got,
                                      std::int64_t day_seconds);

}  // namespace tally::golden
