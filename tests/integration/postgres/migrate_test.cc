#include "admin/migrations.h"

#include "tests/integration/postgres/scratch_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <sstream>

namespace tally::integration {
namespace {

using admin::Migration;
using runtime::postgres::Connection;
using testing::HasSubstr;

constexpr std::array kFirst = {Migration{1, "0001_a.sql", "aaaaaaaaaaaaaaaa", "CREATE TABLE a ()"}};
constexpr std::array kBoth = {kFirst[0],
                              Migration{2, "0002_b.sql", "bbbbbbbbbbbbbbbb",
                                        "CREATE TABLE b (); INSERT INTO b DEFAULT VALUES"}};

class Migrate : public testing::Test {
 protected:
  core::Result<void> run(std::span<const Migration> migrations,
                         admin::LiveServices live_services = admin::LiveServices::kRefused) {
    return admin::migrate(connection_, migrations, out_, live_services);
  }
  ScratchDatabase database_;
  Connection connection_ = database_.connect();
  std::ostringstream out_;
};

TEST_F(Migrate, TheShippedOnesApplyAndASecondRunFindsNothingToDo) {
  const auto shipped = admin::embedded_migrations();
  ASSERT_FALSE(admin::check_migrations(connection_, shipped, out_));
  ASSERT_TRUE(run(shipped));
  EXPECT_EQ(count(connection_, "tally_meta.migration"), static_cast<std::int64_t>(shipped.size()));
  ASSERT_TRUE(run(shipped));
  EXPECT_THAT(out_.str(), HasSubstr("nothing to do"));
  EXPECT_TRUE(admin::check_migrations(connection_, shipped, out_));
}

TEST_F(Migrate, WhatWasCountedBeforeIsInTheLedgerOfItsMeter) {
  const auto shipped = admin::embedded_migrations();
  ASSERT_EQ(shipped[7].name, "0008_meter_ledger.sql");
  ASSERT_TRUE(run(shipped.first(7)));
  connection_.exec(
      "INSERT INTO tally.usage_window SELECT t, 'calls', '2026-03-01Z', '2026-03-02Z', '{}', 9, 3"
      " FROM (VALUES ('a'), ('b')) v (t);"
      "INSERT INTO tally.gauge_window VALUES ('a', 'seats', '2026-03-01Z', '2026-03-02Z', '{}', 9,"
      " '2026-03-01Z', '', 4);"
      "INSERT INTO tally.unique_set (tenant, meter, span, span_start, dimensions, span_end,"
      " first_date, members, events) SELECT 'a', 'users', s, '2026-03-01Z', '{}', '2026-03-02Z',"
      " '2026-03-01', 0, 5 FROM (VALUES ('window'), ('day')) v (s)");
  ASSERT_TRUE(run(shipped));
  EXPECT_EQ(connection_
                .exec("SELECT string_agg(meter || ' ' || events, ', ' ORDER BY meter)"
                      " FROM tally.meter_ledger")
                .text(0, 0),
            "calls 6, seats 4, users 5");
}

TEST_F(Migrate, AppliesOnlyWhatIsMissing) {
  ASSERT_TRUE(run(kFirst));
  const auto missing = admin::check_migrations(connection_, kBoth, out_);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("lacks 0002_b.sql: run tally-admin migrate"));
  ASSERT_TRUE(run(kBoth));
  EXPECT_EQ(count(connection_, "b"), 1);
}

// An old aggregator that counts on leaves the books off: it knows nothing of the new tables.
TEST_F(Migrate, AnUpgradeIsRefusedWhileServicesAreConnected) {
  for (const std::string service : {"tally-aggregator", "tally-exporter"}) {
    SCOPED_TRACE(service);
    ScratchDatabase database;
    Connection migrating = database.connect();
    Connection other = database.connect();
    other.exec("SET application_name = '" + service + "'");
    ASSERT_TRUE(admin::migrate(migrating, kFirst, out_))
        << "a service may wait for the first start";
    ASSERT_TRUE(admin::migrate(migrating, kFirst, out_)) << "nothing is missing";
    const auto refused = admin::migrate(migrating, kBoth, out_);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr(service + " (1 sessions); stop every"));
    EXPECT_EQ(count(migrating, "tally_meta.migration"), 1);
    other.exec("SET application_name = 'psql'");
    ASSERT_TRUE(admin::migrate(migrating, kBoth, out_)) << "anybody else may be connected";
  }
}

TEST_F(Migrate, ConnectedServicesCanBeTolerated) {
  ASSERT_TRUE(run(kFirst));
  Connection other = database_.connect();
  other.exec("SET application_name = 'tally-aggregator'");
  ASSERT_FALSE(run(kBoth));
  ASSERT_TRUE(run(kBoth, admin::LiveServices::kTolerated));
  EXPECT_EQ(count(connection_, "b"), 1);
}

// The services of other databases are none of this one's, and a role without any right sees them.
TEST_F(Migrate, TheNameOfASessionIsSeenByEveryRoleInItsDatabaseOnly) {
  ScratchDatabase elsewhere;
  Connection other = elsewhere.connect();
  other.exec("SET application_name = 'tally-aggregator'");
  ASSERT_TRUE(run(kFirst));
  ASSERT_TRUE(run(kBoth));
  EXPECT_EQ(connection_
                .exec("SET ROLE pg_signal_backend; SELECT count(*) FROM pg_stat_activity"
                      " WHERE application_name = 'tally-aggregator' AND datname = '" +
                      elsewhere.name() + "'")
                .int64(0, 0),
            1);
}

TEST_F(Migrate, AChangedFileIsRefusedByNameAndNothingIsApplied) {
  ASSERT_TRUE(run(kFirst));
  std::array changed = kBoth;
  changed[0].sha256 = "cccccccccccccccc";
  const auto refused = run(changed);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("0001_a.sql was changed after it was applied"));
  EXPECT_EQ(count(connection_, "tally_meta.migration"), 1);
  EXPECT_FALSE(admin::check_migrations(connection_, changed, out_));
}

TEST_F(Migrate, ADatabaseOfANewerProgramIsRefused) {
  ASSERT_TRUE(run(kBoth));
  const auto refused = run(kFirst);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("0002_b.sql, which this program does not know"));
}

TEST_F(Migrate, AFileThatFailsLeavesNothingBehind) {
  std::array broken = kBoth;
  broken[1].sql = "CREATE TABLE b (); SELECT 1 / 0";
  const auto failed = run(broken);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("0002_b.sql failed and left nothing behind"));
  EXPECT_FALSE(connection_.exec("SELECT to_regclass('b') IS NOT NULL").boolean(0, 0));
  EXPECT_EQ(count(connection_, "tally_meta.migration"), 1) << "the first stays applied";
  ASSERT_TRUE(run(kBoth)) << "and the next run goes on from there";
}

TEST_F(Migrate, OfTwoAtOnceOneWaitsAndBothSucceed) {
  const auto one = [this] {
    Connection connection = database_.connect();
    std::ostringstream out;
    return admin::migrate(connection, admin::embedded_migrations(), out).has_value();
  };
  auto first = std::async(std::launch::async, one);
  auto second = std::async(std::launch::async, one);
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
}

}  // namespace
}  // namespace tally::integration
