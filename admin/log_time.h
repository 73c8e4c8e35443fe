// `tally-admin log-time`: lets a partition count what a broker's wrong clock stamped too far ahead.
#pragma once

#include "admin/rejects.h"
#include "core/ids.h"
#include "core/result.h"
#include "core/timestamp.h"
#include "runtime/postgres/connection.h"

#include <iosfwd>
#include <optional>

namespace tally::admin {

enum class LogTimeMode { kDryRun, kApply };

struct LogTimeRequest {
  core::PartitionId partition;
  core::Offset before_offset;  // for the records from the stored next offset to here
  // nullopt: the database's time now, where no record that waits can be late by it.
  std::optional<core::Timestamp> ceiling;
  LogTimeMode mode = LogTimeMode::kDryRun;
};

// Prints what changes and, unless it is a dry run, stores it and raises the catalogue's version in
// one transaction: no plan folded without it commits any more, and every aggregator starts from
// what is committed. The records that are not committed yet, up to the offset, count as stamped at
// the ceiling at the latest, instead of what was set for them before. An error for a partition that
// nobody has acquired, for an offset below which all is committed, for a ceiling that is ahead of
// the database's clock or behind the partition's, and for none where it must be given.
[[nodiscard]] core::Result<void> set_log_time(runtime::postgres::Connection& connection,
                                              const LogTimeRequest& request, std::ostream& out);

// Every ceiling that was set, by partition and offset: a table, or a JSON object per line.
void list_log_time(runtime::postgres::Connection& connection, Format format, std::ostream& out);

}  // namespace tally::admin
