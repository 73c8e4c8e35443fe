// `tally-admin verify`: the books, added up a second way (promise P2).
#pragma once

#include "runtime/postgres/connection.h"

#include <iosfwd>

namespace tally::admin {

enum class Verdict { kBalanced, kOff };

// Reads one snapshot and prints a table: per partition that its offsets are consumed, skipped or
// lost; that its classes add up; that its dedup memory holds an entry for each counted record; that
// offsets marked lost are listed as ranges. Then over all partitions: at least as many window
// events as counted records. A line that is off is marked, and makes the verdict kOff.
[[nodiscard]] Verdict verify(runtime::postgres::Connection& connection, std::ostream& out);

}  // namespace tally::admin
