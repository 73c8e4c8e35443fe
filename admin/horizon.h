// `tally-admin horizon-set`: how long identities are remembered, for all aggregators of a database.
#pragma once

#include "core/result.h"
#include "runtime/postgres/connection.h"

#include <cstdint>
#include <iosfwd>
#include <optional>

namespace tally::admin {

enum class HorizonMode { kDryRun, kApply };

struct HorizonRequest {
  std::int64_t horizon_seconds = 0;
  std::optional<std::int64_t> future_bound_seconds;  // nullopt: as it is
  HorizonMode mode = HorizonMode::kDryRun;
};

// Prints what changes and, unless it is a dry run, changes it and raises the catalogue's version in
// one transaction: no plan made under the old values commits any more, and aggregators that were
// started with them wait until they are started anew. When a value rises, the day before which the
// memory was already dropped is kept beside it: older events are late until it has grown. An error
// when no aggregator has used the database.
[[nodiscard]] core::Result<void> set_horizon(runtime::postgres::Connection& connection,
                                             const HorizonRequest& request, std::ostream& out);

}  // namespace tally::admin
