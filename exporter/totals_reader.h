// Reads what should be at Stripe: the series of the catalogue and their period totals. NUMERIC
// stays text: numbers beyond core::Decimal must be seen, not cut.
#pragma once

#include "core/timestamp.h"
#include "exporter/export_store.h"
#include "runtime/postgres/connection.h"

#include <vector>

namespace tally::exporter {

// The calendar months in UTC that Stripe's 35 days before `now` touch, oldest first.
[[nodiscard]] std::vector<core::Window> periods_of_interest(core::Timestamp now);

// Within the caller's transaction. Throws what the connection throws.
[[nodiscard]] Totals read_totals(runtime::postgres::Transaction& transaction, core::Timestamp now);

}  // namespace tally::exporter
