// `tally-admin rejects-list`: the records that were not counted, and why.
#pragma once

#include "runtime/postgres/connection.h"

#include <cstdint>
#include <iosfwd>
#include <string>

namespace tally::admin {

enum class Format { kTable, kJson };

struct RejectFilter {
  std::string reason;        // "": any
  std::string record_class;  // rejected | conflict | late | meter; "": any
  std::int64_t limit = 50;   // newest first
};

// A table without the records' bytes, or a JSON object per line with them in hex ("key", "value",
// "headers"). The table's last line tells how many rows match in all and how many more were only
// counted (past the budget of a commit).
void list_rejects(runtime::postgres::Connection& connection, const RejectFilter& filter,
                  Format format, std::ostream& out);

}  // namespace tally::admin
