// `tally-admin rejects-replay`: gives late and rejected records to the aggregator again, through
// tally.handoff, each once unless asked.
//
// Works in pages, each in a transaction of its own which holds the topology (FOR SHARE of
// tally.deployment), so that no growth of the topic comes between a home and its row; a record's
// key in tally.readmission commits with it. Cut off at any moment it can be run again.
#pragma once

#include "admin/readmission.h"
#include "admin/rejects.h"
#include "core/result.h"
#include "runtime/postgres/connection.h"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace tally::admin {

enum class ReplayMode { kDryRun, kApply };
// kOften: also what an earlier run replayed, unless it still waits for its partition. What that
// counted is a duplicate now, what it did not is judged anew. With the check waived only what every
// replay left uncounted: nothing else would tell the rest from what was counted.
enum class Repetition { kOnce, kOften };

struct ReplayRequest {
  std::string record_class;             // late | rejected; "": both
  std::string reason;                   // "": any
  std::string tenant;                   // "": any, also none
  std::optional<core::Timestamp> from;  // of the log's clock
  std::optional<core::Timestamp> to;    // not included
  std::int64_t limit = 0;               // records readmitted at most
  MemoryCheck memory_check = MemoryCheck::kRequired;
  Repetition repetition = Repetition::kOnce;
  ReplayMode mode = ReplayMode::kDryRun;
  Format format = Format::kTable;
};

// Prints what was (or, in a dry run, would be) readmitted by class, reason and tenant, what is
// refused and why, and the offsets whose bytes were not kept. An error only for a wrong request or
// a database that no aggregator has used.
[[nodiscard]] core::Result<void> replay_rejects(runtime::postgres::Connection& connection,
                                                const ReplayRequest& request, std::ostream& out);

}  // namespace tally::admin
