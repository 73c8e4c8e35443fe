// The database's schema, step by step: schemas/postgres/NNNN_name.sql, embedded at build time.
#pragma once

#include "core/result.h"
#include "runtime/postgres/connection.h"

#include <iosfwd>
#include <span>
#include <string_view>

namespace tally::admin {

struct Migration {
  int number;
  std::string_view name;    // "0001_aggregator.sql"
  std::string_view sha256;  // of the file's bytes, lower-case hex
  std::string_view sql;
};

// Ascending by number.
[[nodiscard]] std::span<const Migration> embedded_migrations();

// Aggregators and exporters that are connected to the database.
enum class LiveServices { kRefused, kTolerated };

// Applies what is missing, each file in a transaction of its own and recorded in it
// (tally_meta.migration), under an advisory lock: of two at once, the second waits and finds
// nothing to do. Prints a line per file. Refuses, before applying anything, when an applied file
// has another checksum or the database knows a migration that this program does not; and when a
// database that is in use lacks one while services are connected, unless they are tolerated: an
// older aggregator counts on without what the new tables promise. Throws Unavailable and
// StatementFailed; what was committed before stays, and a second run continues.
[[nodiscard]] core::Result<void> migrate(runtime::postgres::Connection& connection,
                                         std::span<const Migration> migrations, std::ostream& out,
                                         LiveServices live_services = LiveServices::kRefused);

// The same comparison, changing nothing: an error also when something is not applied yet.
[[nodiscard]] core::Result<void> check_migrations(runtime::postgres::Connection& connection,
                                                  std::span<const Migration> migrations,
                                                  std::ostream& out);

}  // namespace tally::admin
