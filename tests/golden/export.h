// A variant's stream and books as JSON, for the tests that run it on a real broker and database
// (tests/integration/golden).
#pragma once

#include "tests/golden/variant.h"

#include <string>

namespace tally::golden {

// Throws BadCase for what a real broker cannot be given: a marker alone, a clock of ours.
[[nodiscard]] std::string export_json(const GoldenCase& golden, const Variant& variant);

}  // namespace tally::golden
