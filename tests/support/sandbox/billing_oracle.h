// What became of every counted unit: billed, waiting for its invoice, or lost and why. What is
// billed is read from the lines of finalized invoices, not from what Billing noted when it wrote
// them. Pure.
#pragma once

#include "tests/support/sandbox/books.h"
#include "tests/support/sandbox/documents.h"

#include <nlohmann/json.hpp>
#include <string>

namespace tally::sandbox {

// Every usage period with what was counted, billed and lost; of one customer or invoice only unless
// "".
[[nodiscard]] nlohmann::json oracle_periods(const Books& books, const Documents& documents,
                                            const std::string& customer,
                                            const std::string& invoice);
// meter -> customer -> the sums of all periods, and whether they are what was counted; each
// customer's invoice items, which waited or were billed; the periods whose lines are wrong.
[[nodiscard]] nlohmann::json oracle_billing(const Books& books, const Documents& documents);

}  // namespace tally::sandbox
