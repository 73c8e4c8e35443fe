// The identifier of a meter event: what Stripe deduplicates by.
#pragma once

#include "core/identity.h"
#include "exporter/series.h"

#include <string>

namespace tally::exporter {

inline constexpr std::size_t kMaxIdentifierBytes = 100;      // Stripe's limit
inline constexpr std::size_t kMaxIdempotencyKeyBytes = 255;  // Stripe's limit

// `tally.<tenant>.<meter>.<period start>.<revision>.<hash>`, at most 100 bytes. Names that are long
// or have other characters than letters, digits, `_` and `-` are left out: the hash tells rows
// apart. It covers customer, tenant, meter, event name, period, revision, minute and value under
// the key of this database, so that a new or restored database does not give an old identifier to
// another event. Deterministic.
[[nodiscard]] std::string make_identifier(const core::IdentityHasher& hasher, const Series& series,
                                          const NewRow& row);

// The Idempotency-Key of a row: its identifier, and from the second key on `/<number>` after it.
[[nodiscard]] std::string make_idempotency_key(const std::string& identifier, int key_number);

}  // namespace tally::exporter
