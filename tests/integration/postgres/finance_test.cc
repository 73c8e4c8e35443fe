// The views of schema finance, and the role that reads them.
#include "admin/rejects.h"
#include "admin/verify.h"
#include "tests/integration/postgres/scratch_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tally::integration {
namespace {

using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using testing::HasSubstr;

class Finance : public testing::Test {
 protected:
  void add_tenant(const std::string& id, const std::string& zone) {
    connection_.exec("INSERT INTO tally.tenant (tenant, name, time_zone) VALUES ($1, $1, $2)",
                     {id, zone});
  }
  void add_hour(const std::string& tenant, const std::string& start, const std::string& quantity) {
    connection_.exec(
        "INSERT INTO tally.usage_window VALUES ($1, 'calls', $2::timestamptz,"
        " $2::timestamptz + interval '1 hour', '{}', $3::numeric, 1)",
        {tenant, start, quantity});
    // What the same commit adds to the tenant's day and month.
    connection_.exec(
        "INSERT INTO tally.usage_total AS t SELECT $1, 'calls', s.span, s.start AT TIME ZONE "
        "s.zone,"
        " (s.start + s.length) AT TIME ZONE s.zone, s.start::date, $3::numeric, 1"
        " FROM (SELECT v.span, v.length, z.zone,"
        "              date_trunc(v.span, $2::timestamptz AT TIME ZONE z.zone) AS start"
        "         FROM (VALUES ('day', interval '1 day'), ('month', interval '1 month'))"
        "              AS v (span, length)"
        "        CROSS JOIN (SELECT coalesce((SELECT time_zone FROM tally.tenant"
        "                                      WHERE tenant = $1), 'UTC') AS zone) z) s"
        " ON CONFLICT (tenant, meter, span, span_start) DO UPDATE"
        " SET quantity = t.quantity + excluded.quantity, events = t.events + excluded.events",
        {tenant, start, quantity});
  }
  void add_reading(const std::string& start, const std::string& dimensions,
                   const std::string& reading) {
    connection_.exec(
        "INSERT INTO tally.gauge_window VALUES ('berlin', 'seats', $1::timestamptz,"
        " $1::timestamptz + interval '1 hour', $2, $3::numeric,"
        " $1::timestamptz + interval '5 minutes', '\\x01', 1)",
        {start, dimensions, reading});
    for (const char* span : {"day", "month"}) {
      connection_.exec(
          "INSERT INTO tally.gauge_total AS t SELECT 'berlin', 'seats', $4, s.start AT TIME ZONE"
          " 'Europe/Berlin', $2, (s.start + ('1 ' || $4)::interval) AT TIME ZONE 'Europe/Berlin',"
          " s.start::date, $3::numeric, $1::timestamptz + interval '5 minutes', '\\x01', 1"
          " FROM (SELECT date_trunc($4, $1::timestamptz AT TIME ZONE 'Europe/Berlin') AS start) s"
          " ON CONFLICT (tenant, meter, span, span_start, dimensions) DO UPDATE SET"
          " reading = CASE WHEN excluded.read_at > t.read_at THEN excluded.reading"
          " ELSE t.reading END, read_at = greatest(t.read_at, excluded.read_at),"
          " events = t.events + excluded.events",
          {start, dimensions, reading, span});
    }
  }
  std::string value(const std::string& query) {
    return std::string(connection_.exec("SELECT " + query).text(0, 0));
  }

  ScratchDatabase database_;
  Connection connection_ = database_.migrated();
};

TEST_F(Finance, DaysAndMonthsAreTheTenantsAcrossTheChangeOfClocks) {
  add_tenant("berlin", "Europe/Berlin");
  // Summer time begins on 29 March 2026, so March begins at 23:00Z and ends at 22:00Z.
  add_hour("berlin", "2026-02-28 22:00Z", "1");     // February
  add_hour("berlin", "2026-02-28 23:00Z", "10");    // March
  add_hour("berlin", "2026-03-31 21:00Z", "100");   // March
  add_hour("berlin", "2026-03-31 22:00Z", "1000");  // April
  const std::string month = "quantity::text FROM finance.usage_by_month WHERE month = ";
  EXPECT_EQ(value(month + "'2026-02-01'"), "1");
  EXPECT_EQ(value(month + "'2026-03-01'"), "110");
  EXPECT_EQ(value(month + "'2026-04-01'"), "1000");
  EXPECT_EQ(value("quantity::text FROM finance.usage_by_day WHERE day = '2026-03-01'"), "10");
  EXPECT_EQ(value("sum(quantity)::text FROM finance.usage_by_hour"), "1111");
}

TEST_F(Finance, UnknownTenantsAreCountedInUtcAndShown) {
  add_hour("stranger", "2026-03-31 23:00Z", "5");
  const Rows rows =
      connection_.exec("SELECT tenant_known, month::text FROM finance.usage_by_month");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_FALSE(rows.boolean(0, 0));
  EXPECT_EQ(rows.text(0, 1), "2026-03-01");
  EXPECT_EQ(value("tenant FROM finance.unknown_tenants"), "stranger");
}

TEST_F(Finance, AGaugeIsTheSumOverDimensionsOfTheLastReading) {
  add_tenant("berlin", "Europe/Berlin");
  add_reading("2026-03-02 09:00Z", R"({"team":"a"})", "5");
  add_reading("2026-03-02 17:00Z", R"({"team":"a"})", "7");
  add_reading("2026-03-02 10:00Z", R"({"team":"b"})", "2");
  add_reading("2026-03-03 10:00Z", R"({"team":"a"})", "8");
  EXPECT_EQ(value("reading::text FROM finance.gauge_by_day WHERE day = '2026-03-02'"), "9");
  EXPECT_EQ(value("reading::text FROM finance.gauge_by_day WHERE day = '2026-03-03'"), "8");
  EXPECT_EQ(value("reading::text FROM finance.gauge_by_month WHERE month = '2026-03-01'"), "10");
}

TEST_F(Finance, TheRoleReadsItsViewsAndNothingElse) {
  add_hour("stranger", "2026-03-31 23:00Z", "5");
  const Rows views = connection_.exec("SELECT viewname FROM pg_views WHERE schemaname = 'finance'");
  connection_.exec("SET SESSION AUTHORIZATION tally_finance");
  ASSERT_GT(views.size(), 8U);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::string name = "finance." + std::string(views.text(i, 0));
    EXPECT_NO_THROW(connection_.exec("SELECT * FROM " + name)) << name;
  }
  for (const char* statement :
       {"SELECT * FROM tally.usage_window", "SELECT * FROM tally.tenant",
        "DELETE FROM tally.usage_window", "UPDATE tally.ledger SET counted = 0",
        "UPDATE finance.rejects SET reason = 'x'", "DELETE FROM finance.ledger",
        "CREATE TABLE finance.mine ()", "CREATE TABLE public.mine ()",
        "SELECT * FROM tally_meta.migration"}) {
    try {
      connection_.exec(statement);
      ADD_FAILURE() << "allowed: " << statement;
    } catch (const StatementFailed& error) {
      // A view of several tables says that it is not updatable before it looks at the rights.
      EXPECT_THAT(error.sqlstate(), testing::AnyOf("42501", "55000")) << statement;
    }
  }
}

class Books : public Finance {
 protected:
  void SetUp() override {
    connection_.exec(
        "INSERT INTO tally.partition_state (partition, generation, base_offset, next_offset)"
        " VALUES (0, 1, 100, 110), (1, 1, 0, 2);"
        "INSERT INTO tally.ledger (partition, log_day, consumed, rejected, duplicate, counted,"
        " skipped, lost) VALUES (0, '2026-03-01', 7, 1, 2, 4, 1, 2),"
        " (1, '2026-03-01', 2, 0, 0, 2, 0, 0);"
        "INSERT INTO tally.lost_range (partition, first_offset, last_offset) VALUES (0, 103, 104);"
        "SELECT tally.ensure_dedup_day('2026-03-01');"
        "INSERT INTO tally.dedup_segment (partition, log_day, partitions, token, entry_count,"
        " entries) VALUES"
        " (0, '2026-03-01', 2, gen_random_uuid(), 4, decode(repeat('00', 64), 'hex')),"
        " (1, '2026-03-01', 2, gen_random_uuid(), 2, decode(repeat('00', 32), 'hex'));"
        "INSERT INTO tally.reject (topic, partition, record_offset, class, reason, detail,"
        " log_time, record_value) VALUES ('usage.events', 0, 101, 'rejected', 'bad_json',"
        " E'saw \\x1b[2J', '2026-03-01 00:00Z', '\\x007b22')");
    for (int hour = 0; hour < 6; ++hour) {
      add_hour("a", "2026-03-01 0" + std::to_string(hour) + ":00Z", "1");
    }
  }
  admin::Verdict verify() { return admin::verify(connection_, out_); }
  std::ostringstream out_;
};

TEST_F(Books, BalanceWhenEverythingIsThere) {
  EXPECT_EQ(verify(), admin::Verdict::kBalanced) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("the books balance"));
  EXPECT_EQ(value("bool_and(balanced)::text FROM finance.ledger_balance"), "true");
}

class BooksAltered : public Books, public testing::WithParamInterface<const char*> {};

TEST_P(BooksAltered, AreOff) {
  connection_.exec(GetParam());
  EXPECT_EQ(verify(), admin::Verdict::kOff) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("OFF"));
}

INSTANTIATE_TEST_SUITE_P(
    ByHand, BooksAltered,
    testing::Values("UPDATE tally.partition_state SET next_offset = 111 WHERE partition = 0",
                    "UPDATE tally.ledger SET skipped = 2 WHERE partition = 0",
                    "ALTER TABLE tally.ledger DROP CONSTRAINT every_record_in_one_class;"
                    "UPDATE tally.ledger SET counted = 1 WHERE partition = 1",
                    "UPDATE tally.dedup_segment SET entry_count = 1, entries ="
                    " decode(repeat('00', 16), 'hex') WHERE partition = 1",
                    "DELETE FROM tally.lost_range",
                    "DELETE FROM tally.usage_window WHERE window_start = '2026-03-01 00:00Z'",
                    "UPDATE tally.usage_total SET quantity = quantity + 1 WHERE span = 'day'",
                    "DELETE FROM tally.usage_total WHERE span = 'month'",
                    "UPDATE tally.usage_total SET span = 'period' WHERE span = 'month'",
                    "INSERT INTO tally.unique_member VALUES (1, 2, 3)",
                    "INSERT INTO tally.dimension_month VALUES ('a', 'calls', '2026-03-01', 1, 1)",
                    "DELETE FROM tally.reject", "UPDATE tally.reject SET verdicts = 2",
                    "INSERT INTO tally.handoff (source, home, partitions, records, block)"
                    " VALUES (0, 1, 2, 3, '')",
                    "INSERT INTO tally.readmission (topic, partition, record_offset, reason)"
                    " VALUES ('usage.events', 0, 101, 'bad_json')"));

TEST_F(Books, RejectsAreListedWithoutTheirControlCharacters) {
  admin::list_rejects(connection_, {}, admin::Format::kTable, out_);
  EXPECT_THAT(out_.str(), HasSubstr("bad_json"));
  EXPECT_THAT(out_.str(), HasSubstr("saw \\x1b[2J"));
  EXPECT_THAT(out_.str(), HasSubstr("1 of 1 shown"));
  out_.str("");
  admin::list_rejects(connection_, {"", "rejected", 10}, admin::Format::kJson, out_);
  EXPECT_THAT(out_.str(), HasSubstr(R"("offset":101,"meter":"","tenant":null)"));
  EXPECT_THAT(out_.str(), HasSubstr(R"("value":"007b22")"));
  out_.str("");
  admin::list_rejects(connection_, {"other_reason", "", 10}, admin::Format::kJson, out_);
  EXPECT_EQ(out_.str(), "");
}

}  // namespace
}  // namespace tally::integration
