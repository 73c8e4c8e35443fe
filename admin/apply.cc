#include "admin/apply.h"

#include "admin/catalogue_store.h"

#include <fmt/format.h>

#include <ostream>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::postgres::Connection;
using runtime::postgres::Isolation;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;

Result<void> store(Connection& connection, const core::Catalogue& wanted,
                   const CatalogueChanges& changes, core::CatalogueVersion seen) {
  Transaction transaction = connection.begin();
  lock_catalogue(transaction);
  const auto version = transaction.exec("SELECT version FROM tally.catalogue_version").int64(0, 0);
  if (version != seen.value()) {
    return Error{ErrorKind::kConflict,
                 fmt::format("the catalogue moved from version {} to {} meanwhile: nothing was "
                             "stored, look again and run apply again",
                             seen.value(), version)};
  }
  if (auto used = check_used_meters(transaction, changes); !used) return used;
  store_changes(transaction, changes, wanted);
  transaction.commit();
  return boost::outcome_v2::success();
}

// The constraints that only the database can judge, in words of the catalogue.
Result<void> explain(const StatementFailed& error) {
  if (error.sqlstate() == "23505") {
    return Error{ErrorKind::kConflict,
                 fmt::format("a stripe_customer or Stripe event_name already belongs to another "
                             "stored tenant or meter; nothing was stored: {}",
                             error.what())};
  }
  if (error.sqlstate() == "55P03") {
    return Error{ErrorKind::kUnavailable,
                 "the catalogue stayed locked for 30 s by another transaction; nothing was stored: "
                 "run apply again"};
  }
  throw error;
}

}  // namespace

Result<void> apply_catalogue(Connection& connection, const core::Catalogue& wanted,
                             ApplyOptions options, std::ostream& out) {
  core::CatalogueVersion seen;
  CatalogueChanges changes;
  {
    Transaction transaction = connection.begin(Isolation::kRepeatableRead);
    const auto stored = read_catalogue(transaction);
    if (!stored) return stored.error();
    auto compared = compare_catalogues(stored.value().catalogue, wanted);
    if (!compared) return compared.error();
    seen = stored.value().version;
    changes = std::move(compared).value();
    // Checked before anything is shown as if it could be done, and again under the lock.
    if (auto used = check_used_meters(transaction, changes); !used) return used;
    if (auto zones = check_time_zones(transaction, changes, wanted); !zones) return zones;
  }
  out << describe(changes, options.detail);
  if (!changes.any()) {
    out << fmt::format("Nothing to store: the catalogue stays at version {}.\n", seen.value());
    return boost::outcome_v2::success();
  }
  if (options.mode == ApplyMode::kDryRun) {
    out << fmt::format("Dry run: nothing stored, the catalogue stays at version {}.\n",
                       seen.value());
    return boost::outcome_v2::success();
  }
  out.flush();
  try {
    if (auto stored = store(connection, wanted, changes, seen); !stored) return stored;
  } catch (const StatementFailed& error) {
    return explain(error);
  }
  out << fmt::format("Stored: the catalogue is at version {}.\n", seen.value() + 1);
  return boost::outcome_v2::success();
}

Result<void> apply_text(Connection& connection, std::string_view json, ApplyOptions options,
                        std::ostream& out) {
  const auto wanted = core::parse_catalogue(json);
  if (!wanted) return wanted.error();
  return apply_catalogue(connection, wanted.value(), options, out);
}

}  // namespace tally::admin
