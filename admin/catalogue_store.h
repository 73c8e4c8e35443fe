// The catalogue's tables: read whole, written by difference.
#pragma once

#include "admin/catalogue_changes.h"
#include "core/catalogue.h"
#include "core/ids.h"
#include "core/result.h"
#include "runtime/postgres/connection.h"

namespace tally::admin {

struct StoredCatalogue {
  core::CatalogueVersion version;
  core::Catalogue catalogue;
};

// Locks catalogue_version FOR UPDATE until the transaction ends: it waits for the aggregator's
// commits under way, and none passes the fence meanwhile. What is read after it cannot move.
void lock_catalogue(runtime::postgres::Transaction& transaction);

[[nodiscard]] core::Result<StoredCatalogue> read_catalogue(
    runtime::postgres::Transaction& transaction);

// An error when a change would alter the definition of a meter that has windows or outbox rows.
// Call it after lock_catalogue(), or the answer may be old.
[[nodiscard]] core::Result<void> check_used_meters(runtime::postgres::Transaction& transaction,
                                                   const CatalogueChanges& changes);

// An error that names the first tenant whose time zone Postgres does not know.
[[nodiscard]] core::Result<void> check_time_zones(runtime::postgres::Transaction& transaction,
                                                  const CatalogueChanges& changes,
                                                  const core::Catalogue& wanted);

// Writes what was added and changed, and raises the version by one. A few statements, whatever the
// number of tenants.
void store_changes(runtime::postgres::Transaction& transaction, const CatalogueChanges& changes,
                   const core::Catalogue& wanted);

}  // namespace tally::admin
