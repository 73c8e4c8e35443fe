#include "admin/migrations.h"

#include <fmt/format.h>

#include <map>
#include <ostream>
#include <string>
#include <utility>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;

// "tally" in ASCII: one migration at a time in one database.
constexpr const char* kTakeLock = "SELECT pg_advisory_lock(499850701945)";
constexpr const char* kReleaseLock = "SELECT pg_advisory_unlock(499850701945)";
constexpr const char* kSessionLimits =
    "SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'";

struct Applied {
  std::string name;
  std::string sha256;
  std::string applied_at;
};
using AppliedByNumber = std::map<int, Applied>;

AppliedByNumber read_applied(Connection& connection) {
  AppliedByNumber applied;
  const Rows exists = connection.exec("SELECT to_regclass('tally_meta.migration') IS NOT NULL");
  if (!exists.boolean(0, 0)) return applied;
  const Rows rows = connection.exec(
      "SELECT number, name, sha256, to_char(applied_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
      "FROM tally_meta.migration ORDER BY number");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    applied[static_cast<int>(rows.int64(i, 0))] = {
        std::string(rows.text(i, 1)), std::string(rows.text(i, 2)), std::string(rows.text(i, 3))};
  }
  return applied;
}

Result<void> compare(const AppliedByNumber& applied, std::span<const Migration> migrations) {
  std::map<int, const Migration*> known;
  for (const Migration& migration : migrations) known[migration.number] = &migration;
  for (const auto& [number, row] : applied) {
    const auto found = known.find(number);
    if (found == known.end()) {
      return Error{
          ErrorKind::kConflict,
          fmt::format("the database has migration {}, which this program does not know: it "
                      "was migrated by a newer tally-admin, use that one",
                      row.name)};
    }
    if (found->second->sha256 != row.sha256) {
      return Error{
          ErrorKind::kConflict,
          fmt::format("{} was changed after it was applied at {} (checksum {} then, {} now): "
                      "restore the file, and put the change into a new migration",
                      found->second->name, row.applied_at, row.sha256.substr(0, 12),
                      found->second->sha256.substr(0, 12))};
    }
  }
  return boost::outcome_v2::success();
}

// Any role sees every session's application_name.
Result<void> refuse_live_services(Connection& connection) {
  const Rows rows = connection.exec(
      "SELECT string_agg(s.application_name || ' (' || s.sessions || ' sessions)', ' and ') "
      "FROM (SELECT application_name, count(*) AS sessions FROM pg_stat_activity "
      "WHERE datname = current_database() "
      "AND application_name IN ('tally-aggregator', 'tally-exporter') GROUP BY 1 ORDER BY 1) s");
  if (rows.is_null(0, 0)) return boost::outcome_v2::success();
  return Error{ErrorKind::kConflict,
               fmt::format("connected to this database: {}; stop every aggregator and exporter, "
                           "run this again, then start the new ones (docs/operating, upgrades; "
                           "--force migrates all the same)",
                           rows.text(0, 0))};
}

void apply_one(Connection& connection, const Migration& migration) {
  auto transaction = connection.begin();
  transaction.exec(std::string(migration.sql));
  transaction.exec(
      "INSERT INTO tally_meta.migration (number, name, sha256) VALUES ($1::integer, $2, $3)",
      {std::to_string(migration.number), std::string(migration.name),
       std::string(migration.sha256)});
  transaction.commit();
}

Result<void> migrate_locked(Connection& connection, std::span<const Migration> migrations,
                            std::ostream& out, LiveServices live_services) {
  connection.exec(
      "CREATE SCHEMA IF NOT EXISTS tally_meta;"
      "CREATE TABLE IF NOT EXISTS tally_meta.migration ("
      " number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
      " applied_at timestamptz NOT NULL DEFAULT now())");
  const AppliedByNumber applied = read_applied(connection);
  if (auto same = compare(applied, migrations); !same) return same;
  // A first start may wait for its schema already; nothing is counted yet.
  const bool upgrade = !applied.empty() && applied.size() < migrations.size();
  if (upgrade && live_services == LiveServices::kRefused) {
    if (auto none = refuse_live_services(connection); !none) return none;
  }
  std::size_t count = 0;
  for (const Migration& migration : migrations) {
    if (applied.contains(migration.number)) {
      out << fmt::format("  = {}  (since {})\n", migration.name,
                         applied.at(migration.number).applied_at);
      continue;
    }
    try {
      apply_one(connection, migration);
    } catch (const StatementFailed& error) {
      return Error{ErrorKind::kConflict, fmt::format("{} failed and left nothing behind: {}",
                                                     migration.name, error.what())};
    }
    out << fmt::format("  + {}\n", migration.name);
    ++count;
  }
  out << (count == 0 ? "The schema is up to date: nothing to do.\n"
                     : fmt::format("The schema is up to date: {} applied.\n", count));
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> migrate(Connection& connection, std::span<const Migration> migrations,
                     std::ostream& out, LiveServices live_services) {
  connection.exec(kSessionLimits);
  try {
    connection.exec(kTakeLock);
  } catch (const StatementFailed& error) {
    if (error.sqlstate() != "55P03") throw;
    return Error{ErrorKind::kUnavailable,
                 "another tally-admin has been migrating this database for 60 s: wait for it, then "
                 "run this again"};
  }
  auto result = migrate_locked(connection, migrations, out, live_services);
  connection.exec(kReleaseLock);
  return result;
}

Result<void> check_migrations(Connection& connection, std::span<const Migration> migrations,
                              std::ostream& out) {
  const AppliedByNumber applied = read_applied(connection);
  if (auto same = compare(applied, migrations); !same) return same;
  std::string missing;
  for (const Migration& migration : migrations) {
    const auto found = applied.find(migration.number);
    if (found != applied.end()) {
      out << fmt::format("  = {}  (since {})\n", migration.name, found->second.applied_at);
      continue;
    }
    out << fmt::format("  - {}  (not applied)\n", migration.name);
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ", migration.name);
  }
  if (!missing.empty()) {
    return Error{ErrorKind::kNotFound,
                 fmt::format("the database lacks {}: run tally-admin migrate", missing)};
  }
  out << "The schema is up to date.\n";
  return boost::outcome_v2::success();
}

}  // namespace tally::admin
