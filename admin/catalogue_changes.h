// What a catalogue file would change in the stored catalogue. Pure: two values in, a list out.
#pragma once

#include "core/catalogue.h"
#include "core/result.h"

#include <cstddef>
#include <string>
#include <vector>

namespace tally::admin {

// One differing member, as canonical JSON; "" where it is absent.
struct FieldChange {
  std::string name;
  std::string before;
  std::string after;
};

enum class ChangeKind { kAdded, kChanged, kKept };  // kKept: stored, absent from the file, stays

struct EntryChange {
  ChangeKind kind = ChangeKind::kAdded;
  std::string id;                   // slug or tenant id
  std::size_t wanted = 0;           // index in the wanted catalogue; not for kKept
  std::vector<FieldChange> fields;  // kChanged only
  // Meters: fields that decide what is counted and billed, immutable once the meter is used. A
  // first Stripe mapping is none of them: export starts when it is added.
  [[nodiscard]] bool changes_definition() const;
  // Meters: fields that change what is read from an event; price and mapping do not.
  [[nodiscard]] bool changes_reading() const;
};

struct CatalogueChanges {
  std::vector<EntryChange> meters;
  std::vector<EntryChange> plans;
  std::vector<EntryChange> tenants;
  std::size_t unchanged = 0;
  // Anything to store? Kept entries are not.
  [[nodiscard]] bool any() const;
};

// Each list in the order of its ids. An error when a stored definition is no JSON.
[[nodiscard]] core::Result<CatalogueChanges> compare_catalogues(const core::Catalogue& stored,
                                                                const core::Catalogue& wanted);

enum class Detail { kShort, kFull };  // kShort: at most 20 lines of each kind, then their number

// "+ meter ai_tokens", "~ meter …" with a line per field, "- tenant … (kept)", and a summary line.
[[nodiscard]] std::string describe(const CatalogueChanges& changes, Detail detail);

}  // namespace tally::admin
