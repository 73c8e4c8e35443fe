// `tally-admin apply`: the catalogue's text becomes the stored catalogue. Idempotent.
#pragma once

#include "admin/catalogue_changes.h"
#include "core/catalogue.h"
#include "core/result.h"
#include "runtime/postgres/connection.h"

#include <iosfwd>
#include <string_view>

namespace tally::admin {

enum class ApplyMode { kStore, kDryRun };

struct ApplyOptions {
  ApplyMode mode = ApplyMode::kStore;
  Detail detail = Detail::kShort;
};

// Shows the difference, then stores it in one transaction that raises tally.catalogue_version by
// one; nothing is written when nothing differs. Entries that the catalogue leaves out stay.
// Refuses: a changed definition of a used meter, an aggregation that is not supported yet, an
// unknown time zone, and a catalogue that somebody else changed between the look and the lock. A
// dry run checks the same and stores nothing.
[[nodiscard]] core::Result<void> apply_catalogue(runtime::postgres::Connection& connection,
                                                 const core::Catalogue& wanted,
                                                 ApplyOptions options, std::ostream& out);

// The same from catalogue.json's text.
[[nodiscard]] core::Result<void> apply_text(runtime::postgres::Connection& connection,
                                            std::string_view json, ApplyOptions options,
                                            std::ostream& out);

}  // namespace tally::admin
