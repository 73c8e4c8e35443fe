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

TEST_F(Finance, DaysAndDimensionsAreTheTenantsAndAddUp) {
  add_tenant("kolkata", "Asia/Kolkata");
  add_hour("kolkata", "2026-03-01 18:00Z", "1");  // 23:30 of March 1st
  add_hour("kolkata", "2026-03-01 19:00Z", "2");
  add_hour("kolkata", "2026-03-02 18:00Z", "4");
  add_hour("kolkata", "2026-03-02 19:00Z", "8");  // 00:30 of March 3rd
  const std::string of_two_days =
      " FROM finance.usage_by_day_and_dimension('kolkata', 'calls', '2026-03-01', '2026-03-02')";
  EXPECT_EQ(value("string_agg(day || ' ' || quantity || ' ' || events, ', ')" + of_two_days),
            "2026-03-01 1 1, 2026-03-02 6 2");
  // Midnight of October 25th comes twice there.
  add_tenant("azores", "Atlantic/Azores");
  add_hour("azores", "2026-10-25 00:00Z", "1");
  add_hour("azores", "2026-10-25 01:00Z", "2");
  const std::string azores = " FROM finance.usage_by_day_and_dimension('azores', 'calls', ";
  EXPECT_EQ(value("sum(quantity)" + azores + "'2026-10-25', '2026-10-25')"), "3");
  EXPECT_EQ(value("count(*)" + azores + "'2026-10-01', '2026-10-24')"), "0");
  connection_.exec("SET SESSION AUTHORIZATION tally_finance");
  EXPECT_EQ(value("sum(quantity)" + of_two_days), "7");
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

// 22 events of tenant a, in every table that verify reads.
class Books : public Finance {
 protected:
  void SetUp() override {
    connection_.exec(
        "INSERT INTO tally.partition_state (partition, generation, base_offset, next_offset)"
        " VALUES (0, 1, 100, 110), (1, 1, 0, 2), (2, 1, 0, 16);"
        "INSERT INTO tally.ledger (partition, log_day, consumed, rejected, duplicate, counted,"
        " skipped, lost) VALUES (0, '2026-03-01', 7, 1, 2, 4, 1, 2),"
        " (1, '2026-03-01', 2, 0, 0, 2, 0, 0), (2, '2026-03-01', 16, 0, 0, 16, 0, 0);"
        "INSERT INTO tally.lost_range (partition, first_offset, last_offset) VALUES (0, 103, 104);"
        "SELECT tally.ensure_dedup_day('2026-03-01');"
        "INSERT INTO tally.dedup_segment (partition, log_day, partitions, token, entry_count,"
        " entries) SELECT p, '2026-03-01', 3, gen_random_uuid(), n,"
        " decode(repeat('00', 16 * n), 'hex') FROM (VALUES (0, 4), (1, 2), (2, 16)) e (p, n);"
        "INSERT INTO tally.reject (topic, partition, record_offset, class, reason, detail,"
        " log_time, record_value) VALUES ('usage.events', 0, 101, 'rejected', 'bad_json',"
        " E'saw \\x1b[2J', '2026-03-01 00:00Z', '\\x007b22');"
        "INSERT INTO tally.meter (slug, event_type, aggregation, definition, created_version)"
        " SELECT m.slug, m.slug, m.aggregation, '{}', 1 FROM (VALUES ('calls', 'count'),"
        " ('seats', 'latest'), ('peak', 'max'), ('low', 'min'), ('users', 'unique_count'))"
        " m (slug, aggregation)");
    for (int hour = 0; hour < 6; ++hour) {
      add_hour("a", "2026-03-01 0" + std::to_string(hour) + ":00Z", "1");
    }
    add_hour("a", "2026-03-02 00:00Z", "1");
    add_gauges();
    add_uniques();
    connection_.exec(
        "INSERT INTO tally.meter_ledger VALUES (0, 'calls', 3), (1, 'calls', 4), (0, 'seats', 3),"
        " (0, 'peak', 3), (0, 'low', 3), (0, 'users', 6);"
        "INSERT INTO tally.billing_period VALUES ('a', '2026-03-01 00:00Z', '2026-03-10 00:00Z');"
        "SELECT tally.open_periods()");
  }
  void add_gauges() {
    connection_.exec(
        "INSERT INTO tally.gauge_window SELECT 'a', m.slug, w.at, w.at + interval '1 hour', '{}',"
        " w.reading, w.at + interval '5 minutes', '\\x01', 1"
        " FROM (VALUES ('seats'), ('peak'), ('low')) m (slug), (VALUES"
        " ('2026-03-01 01:00Z'::timestamptz, 5), ('2026-03-01 02:00Z', 7), ('2026-03-02 01:00Z', "
        "3))"
        " w (at, reading);"
        "INSERT INTO tally.gauge_total SELECT 'a', v.meter, v.span, v.start, '{}',"
        " v.start + ('1 ' || v.span)::interval, v.start::date, v.reading,"
        " v.hour + interval '5 minutes', '\\x01', v.events"
        " FROM (VALUES"
        " ('seats', 'day', '2026-03-01 00:00Z'::timestamptz, 7, '2026-03-01 02:00Z'::timestamptz,"
        " 2), ('peak', 'day', '2026-03-01 00:00Z', 7, '2026-03-01 02:00Z', 2),"
        " ('low', 'day', '2026-03-01 00:00Z', 5, '2026-03-01 01:00Z', 2),"
        " ('seats', 'day', '2026-03-02 00:00Z', 3, '2026-03-02 01:00Z', 1),"
        " ('peak', 'day', '2026-03-02 00:00Z', 3, '2026-03-02 01:00Z', 1),"
        " ('low', 'day', '2026-03-02 00:00Z', 3, '2026-03-02 01:00Z', 1),"
        " ('seats', 'month', '2026-03-01 00:00Z', 3, '2026-03-02 01:00Z', 3),"
        " ('peak', 'month', '2026-03-01 00:00Z', 7, '2026-03-01 02:00Z', 3),"
        " ('low', 'month', '2026-03-01 00:00Z', 3, '2026-03-02 01:00Z', 3))"
        " v (meter, span, start, reading, hour, events)");
  }
  void add_uniques() {
    connection_.exec(
        "WITH sets AS (INSERT INTO tally.unique_set (tenant, meter, span, span_start, dimensions,"
        " span_end, first_date, members, events) SELECT 'a', 'users', v.span, v.start, '{}',"
        " v.start + ('1 ' || v.length)::interval, v.start::date, cardinality(v.members), v.events"
        " FROM (VALUES ('window', 'hour', '2026-03-01 01:00Z'::timestamptz, '{1,2}'::int[], 2),"
        " ('window', 'hour', '2026-03-01 02:00Z', '{2,3}', 3),"
        " ('window', 'hour', '2026-03-02 01:00Z', '{1}', 1),"
        " ('day', 'day', '2026-03-01 00:00Z', '{1,2,3}', 5),"
        " ('day', 'day', '2026-03-02 00:00Z', '{1}', 1),"
        " ('month', 'month', '2026-03-01 00:00Z', '{1,2,3}', 6))"
        " v (span, length, start, members, events) RETURNING set_id, span, span_start)"
        "INSERT INTO tally.unique_member SELECT s.set_id, m, 0 FROM sets s CROSS JOIN LATERAL"
        " unnest(CASE WHEN s.span_start = '2026-03-01 01:00Z' THEN '{1,2}'::int[]"
        "             WHEN s.span_start = '2026-03-01 02:00Z' THEN '{2,3}'"
        "             WHEN s.span_start = '2026-03-01 00:00Z' THEN '{1,2,3}'"
        "             ELSE '{1}' END) m");
  }
  admin::Verdict verify() { return admin::verify(connection_, out_); }
  std::ostringstream out_;
};

TEST_F(Books, BalanceWhenEverythingIsThere) {
  EXPECT_EQ(verify(), admin::Verdict::kBalanced) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("the books balance"));
  EXPECT_EQ(value("bool_and(balanced)::text FROM finance.ledger_balance"), "true");
}

TEST_F(Books, BalanceWhereDaysOverlapAfterAChangeOfZone) {
  // Two of the six events came after the tenant had moved to Berlin.
  const std::string berlin = "'2026-02-28 23:00Z'";
  connection_.exec(
      "UPDATE tally.usage_total SET quantity = 4, events = 4 WHERE span = 'day'"
      " AND span_start = '2026-03-01 00:00Z';"
      "INSERT INTO tally.usage_total VALUES ('a', 'calls', 'day', " +
      berlin + ", '2026-03-01 23:00Z', '2026-03-01', 2, 2)");
  EXPECT_EQ(verify(), admin::Verdict::kBalanced) << out_.str();
  connection_.exec("UPDATE tally.usage_total SET quantity = 3 WHERE span_start = " + berlin);
  EXPECT_EQ(verify(), admin::Verdict::kOff);
}

TEST_F(Books, BalanceWhereTwoMetersReadOneTypeAndWhereAPeriodIsNotOpenYet) {
  connection_.exec(
      "UPDATE tally.meter SET event_type = 'seats' WHERE slug = 'peak';"
      "UPDATE tally.ledger SET counted = counted - 3, filtered = filtered + 3 WHERE partition = 2;"
      "INSERT INTO tally.billing_period VALUES ('a', '2026-02-20 00:00Z', '2026-03-01 00:00Z')");
  EXPECT_EQ(verify(), admin::Verdict::kBalanced) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("changed since the last commit: 1"));
}

class BooksAltered : public Books, public testing::WithParamInterface<const char*> {};

TEST_P(BooksAltered, AreOff) {
  connection_.exec(GetParam());
  EXPECT_EQ(verify(), admin::Verdict::kOff) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("OFF"));
}

INSTANTIATE_TEST_SUITE_P(
    ByHand, BooksAltered,
    testing::Values(
        "UPDATE tally.partition_state SET next_offset = 111 WHERE partition = 0",
        "UPDATE tally.ledger SET skipped = 2 WHERE partition = 0",
        "ALTER TABLE tally.ledger DROP CONSTRAINT every_record_in_one_class;"
        "UPDATE tally.ledger SET counted = 1 WHERE partition = 1",
        "UPDATE tally.dedup_segment SET entry_count = 1, entries ="
        " decode(repeat('00', 16), 'hex') WHERE partition = 1",
        "DELETE FROM tally.lost_range",
        "DELETE FROM tally.usage_window WHERE window_start = '2026-03-01 00:00Z'",
        "UPDATE tally.usage_total SET quantity = quantity + 1 WHERE span = 'day'",
        "DELETE FROM tally.usage_total WHERE span = 'month'",
        // Totals against windows, each span in each direction.
        "UPDATE tally.gauge_total SET reading = 999",
        "UPDATE tally.gauge_total SET reading = 6 WHERE meter = 'seats' AND span = 'day'"
        " AND span_start = '2026-03-01 00:00Z'",
        "UPDATE tally.gauge_total SET reading = 6 WHERE meter = 'peak' AND span = 'month'",
        "UPDATE tally.gauge_total SET reading = 4 WHERE meter = 'low' AND span = 'period'",
        "UPDATE tally.gauge_total SET read_at = read_at + interval '1 second'"
        " WHERE span = 'period' AND meter = 'seats'",
        "UPDATE tally.gauge_total SET tiebreak = '\\x02' WHERE span = 'month'",
        "UPDATE tally.gauge_total SET events = events + 1 WHERE span = 'period'",
        "UPDATE tally.gauge_window SET reading = 8 WHERE meter = 'peak'"
        " AND window_start = '2026-03-01 01:00Z'",
        "DELETE FROM tally.gauge_total WHERE span = 'period' AND meter = 'low'",
        "DELETE FROM tally.gauge_total WHERE span = 'day' AND meter = 'low'"
        " AND span_start = '2026-03-02 00:00Z'",
        "UPDATE tally.usage_total SET quantity = quantity + CASE extract(day FROM"
        " first_date) WHEN 1 THEN 1 ELSE -1 END WHERE span = 'day'",
        "DELETE FROM tally.usage_total WHERE span = 'period'",
        "UPDATE tally.usage_total SET quantity = quantity + 1 WHERE span = 'period'",
        "UPDATE tally.usage_total SET span_start = '2026-03-03 00:00Z', span_end ="
        " '2026-03-04 00:00Z' WHERE span_start = '2026-03-02 00:00Z'",
        "INSERT INTO tally.usage_total VALUES ('a', 'calls', 'day', '2026-03-05 00:00Z',"
        " '2026-03-06 00:00Z', '2026-03-05', 0, 0)",
        "DELETE FROM tally.period_opened",
        "UPDATE tally.period_opened SET period_end = '2026-03-02 00:00Z'",
        // Windows and totals alike, against the ledgers.
        "UPDATE tally.usage_window SET quantity = quantity * 2, events = events * 2;"
        "UPDATE tally.usage_total SET quantity = quantity * 2, events = events * 2",
        "UPDATE tally.usage_window SET quantity = quantity * 2;"
        "UPDATE tally.usage_total SET quantity = quantity * 2",
        "UPDATE tally.gauge_window SET events = events * 2;"
        "UPDATE tally.gauge_total SET events = events * 2",
        "UPDATE tally.unique_set SET events = events * 2",
        "UPDATE tally.meter_ledger SET events = events + CASE meter WHEN 'seats' THEN 1"
        " ELSE -1 END WHERE meter IN ('seats', 'peak')",
        "DELETE FROM tally.meter_ledger WHERE partition = 1",
        "UPDATE tally.ledger SET counted = counted - 1, filtered = filtered + 1"
        " WHERE partition = 2",
        // Sets against the union of their windows.
        "INSERT INTO tally.unique_member VALUES (-1, 2, 3)",
        "UPDATE tally.unique_set SET members = members + 1 WHERE span = 'window'",
        "UPDATE tally.unique_member m SET lo = 9 FROM tally.unique_set u"
        " WHERE u.set_id = m.set_id AND u.span = 'day' AND m.hi = 3",
        "UPDATE tally.unique_member m SET lo = 9 FROM tally.unique_set u"
        " WHERE u.set_id = m.set_id AND u.span = 'period' AND m.hi = 2",
        "UPDATE tally.unique_member m SET lo = 9 FROM tally.unique_set u"
        " WHERE u.set_id = m.set_id AND u.span = 'window' AND m.hi = 3",
        "WITH u AS (UPDATE tally.unique_set SET members = members - 1 WHERE span ="
        " 'month' RETURNING set_id)"
        " DELETE FROM tally.unique_member m USING u WHERE m.set_id = u.set_id AND m.hi = 3",
        "WITH u AS (DELETE FROM tally.unique_set WHERE span = 'period' RETURNING set_id)"
        " DELETE FROM tally.unique_member m USING u WHERE m.set_id = u.set_id",
        "UPDATE tally.unique_set SET events = events + 1 WHERE span = 'period'",
        "UPDATE tally.unique_set SET events = events - 1 WHERE span = 'month'",
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
