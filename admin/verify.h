// `tally-admin verify`: the books, added up a second way (promise P2).
#pragma once

#include "runtime/postgres/connection.h"

#include <iosfwd>

namespace tally::admin {

enum class Verdict { kBalanced, kOff };

// Reads one snapshot and prints a table. Per partition: that its offsets are consumed, skipped or
// lost; that its classes add up; that its dedup memory holds an entry for each counted record; that
// offsets marked lost are listed as ranges. Over all: that each meter's windows have exactly the
// events of its ledger, and all of them those of the counted records (at least those, where two
// meters read one event type); that every day, month and open billing period is what its windows
// make it, and that none is missing: quantities, readings, members of unique counts. A quantity
// that was altered in windows and totals alike is found for count meters only: of the others
// nothing else remembers it. A line that is off is marked, and makes the verdict kOff.
[[nodiscard]] Verdict verify(runtime::postgres::Connection& connection, std::ostream& out);

}  // namespace tally::admin
