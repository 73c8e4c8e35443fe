// The tenants' calendars as the database has them.
#pragma once

#include "aggregator/tenant_book.h"
#include "runtime/postgres/connection.h"

#include <memory>

namespace tally::aggregator {

// Gives every billing period that has none its totals (tally.open_periods), also one whose end
// moved, and takes those of periods that are no longer there. In a transaction of its own, before
// the catalogue is loaded that knows those periods. Throws Misconfigured for a period that does not
// lie in the years 1970 to 9999: its totals could not be written.
void open_periods(runtime::postgres::Connection& database);

// In the transaction that loads the catalogue. nullptr: a period changed since open_periods(); both
// must be done again. Throws Misconfigured as open_periods() does, and for a time zone that this
// machine does not know: days would be wrong.
[[nodiscard]] std::shared_ptr<const TenantBook> load_tenants(
    runtime::postgres::Transaction& transaction);

}  // namespace tally::aggregator
