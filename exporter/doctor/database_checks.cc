#include "exporter/doctor/database_checks.h"

#include "core/catalogue.h"
#include "runtime/postgres/connection.h"

#include <fmt/format.h>

#include <utility>

namespace tally::exporter::doctor {
namespace {

using runtime::postgres::Connection;
using runtime::postgres::Rows;

constexpr const char* kMigrate = "tally-admin migrate";

Schema stored_schema(Connection& connection) {
  if (connection.exec("SELECT to_regclass('tally_meta.migration') IS NULL").boolean(0, 0))
    return {};
  const Rows rows =
      connection.exec("SELECT count(*), coalesce(max(number), 0) FROM tally_meta.migration");
  return {rows.int64(0, 0), rows.int64(0, 1)};
}

Finding check_postgres_clock(Connection& connection, const Now& now) {
  ClockReading reading;
  reading.before = now();
  const Rows rows =
      connection.exec("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
  reading.after = now();
  reading.theirs = core::Timestamp::from_micros(rows.int64(0, 0));
  return check_clock("postgres clock", "the database's", reading);
}

void read_meters(Connection& connection, DatabaseReport& report) {
  const Rows rows = connection.exec(
      "SELECT slug, definition FROM tally.meter WHERE stripe_event_name IS NOT NULL ORDER BY slug");
  for (std::size_t row = 0; row < rows.size(); ++row) {
    auto meter = core::parse_meter(rows.text(row, 1));
    if (meter && meter.value().stripe) {
      report.meters.push_back(std::move(meter).value());
      continue;
    }
    report.findings.push_back({Level::kFail, fmt::format("meter {}", rows.text(row, 0)),
                               fmt::format("its stored definition cannot be read: {}",
                                           meter ? "it has no mapping" : meter.error().message),
                               "use the tally-exporter of the same version as tally-admin"});
  }
}

Finding check_catalogue(Connection& connection, std::size_t meters) {
  const std::int64_t customers =
      connection.exec("SELECT count(*) FROM tally.tenant WHERE stripe_customer IS NOT NULL")
          .int64(0, 0);
  Finding finding{Level::kOk, "catalogue",
                  fmt::format("{} meters with a Stripe mapping, {} tenants with a Stripe customer",
                              meters, customers),
                  ""};
  if (meters == 0 || customers == 0) {
    finding.level = Level::kWarn;
    finding.says += ": nothing is exported";
    finding.next = "tally-admin apply catalogue.json";
  }
  return finding;
}

}  // namespace

Schema built_schema() { return {TALLY_MIGRATIONS, TALLY_LAST_MIGRATION}; }

Finding check_schema(Schema stored, Schema built) {
  const std::string check = "schema";
  if (stored.last > built.last) {
    return {Level::kFail, check,
            fmt::format("the database has migration {}, and this program knows {} at most",
                        stored.last, built.last),
            "use the tally-exporter of the same version as tally-admin"};
  }
  if (stored.migrations < built.migrations) {
    return {
        Level::kFail, check,
        fmt::format("the database has {} of {} migrations", stored.migrations, built.migrations),
        kMigrate};
  }
  return {Level::kOk, check, fmt::format("all {} migrations are there", built.migrations), ""};
}

DatabaseReport check_database(const std::string& conninfo, const Now& now) {
  DatabaseReport report;
  const auto fail = [&](const char* check, const char* says, const char* next) {
    report.findings.push_back({Level::kFail, check, says, next});
    return report;
  };
  try {
    Connection connection(conninfo, "tally-exporter doctor");
    report.findings.push_back({Level::kOk, "postgres", "answers", ""});
    report.findings.push_back(check_postgres_clock(connection, now));
    const Finding schema = check_schema(stored_schema(connection), built_schema());
    report.findings.push_back(schema);
    if (schema.level == Level::kFail) return report;
    read_meters(connection, report);
    report.findings.push_back(check_catalogue(connection, report.meters.size()));
    return report;
  } catch (const runtime::postgres::Unavailable& failure) {
    return fail("postgres", failure.what(), "check --database, PGPASSFILE and the server");
  } catch (const runtime::postgres::StatementFailed& failure) {
    return fail("schema", failure.what(),
                "check the role's rights; the database's owner runs tally-admin migrate");
  }
}

}  // namespace tally::exporter::doctor
