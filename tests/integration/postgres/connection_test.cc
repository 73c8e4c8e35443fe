// runtime/postgres against a real server: what each way of failing looks like from above.
#include "runtime/postgres/connection.h"

#include "tests/integration/postgres/scratch_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <future>
#include <optional>
#include <thread>

namespace tally::integration {
namespace {

using runtime::postgres::ArrayText;
using runtime::postgres::Bytes;
using runtime::postgres::bytes_text;
using runtime::postgres::Connection;
using runtime::postgres::InDoubt;
using runtime::postgres::Isolation;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;
using runtime::postgres::Unavailable;
using testing::HasSubstr;
using testing::Not;

template <class Work>
std::string sqlstate_of(const Work& work) {
  try {
    work();
  } catch (const StatementFailed& error) {
    return error.sqlstate();
  }
  return "none";
}

// Unavailable either way; anything else, and passing, ends the test.
template <class Work>
bool in_doubt(const Work& work) {
  try {
    work();
  } catch (const InDoubt&) {
    return true;
  } catch (const Unavailable&) {
    return false;
  }
  throw std::logic_error("the connection was there");
}

template <class Transactional>
std::int64_t backend_of(Transactional& session) {
  return session.exec("SELECT pg_backend_pid()").int64(0, 0);
}

class PostgresConnection : public testing::Test {
 protected:
  ScratchDatabase database_;
  Connection other_ = database_.connect();
};

TEST_F(PostgresConnection, CarriesValuesBothWays) {
  const std::string bytes("\x00\x01\xff'\\", 5);
  ArrayText texts;
  texts.add("a\"b\\c,{}");
  texts.add_null();
  texts.add("NULL");
  std::optional<Rows> rows;
  {
    Connection connection = database_.connect();
    rows = connection.exec(
        "SELECT $1::text, $2::bigint, $3::bytea, $4::text IS NULL, unnest($5::text[]), $6::numeric",
        {"Zürich", "-9223372036854775808", bytes_text(bytes), std::nullopt, texts.take(),
         "123456789012345678901234567890.000000000001"});
  }
  ASSERT_EQ(rows->size(), 3U) << "rows outlive their connection";
  EXPECT_EQ(rows->text(0, 0), "Zürich");
  EXPECT_EQ(rows->int64(0, 1), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(rows->bytes(0, 2), bytes);
  EXPECT_TRUE(rows->boolean(0, 3));
  EXPECT_EQ(rows->text(0, 4), "a\"b\\c,{}");
  EXPECT_TRUE(rows->is_null(1, 4));
  EXPECT_EQ(rows->text(2, 4), "NULL");
  EXPECT_EQ(rows->text(0, 5), "123456789012345678901234567890.000000000001");
}

// In any place among texts and NULLs, whatever bytes they are, and as large as a segment is.
TEST_F(PostgresConnection, CarriesBytesInBinary) {
  const std::string bytes("\x00\x01\xff'\\", 5);
  std::string large;
  for (int i = 0; i < 5'000'000; ++i) large += static_cast<char>(i * 7);
  const Rows rows = other_.exec(
      "SELECT $1::bytea, $2::text, $3::bytea, $4::bytea, $5::text, $6::bigint, sha256($7::bytea) = "
      "sha256($8::bytea), octet_length($7::bytea)",
      {Bytes{bytes}, "a", Bytes{}, std::nullopt, std::nullopt, "6", Bytes{large},
       bytes_text(large)});
  EXPECT_EQ(rows.bytes(0, 0), bytes);
  EXPECT_EQ(rows.text(0, 1), "a");
  EXPECT_FALSE(rows.is_null(0, 2));
  EXPECT_EQ(rows.bytes(0, 2), "");
  EXPECT_TRUE(rows.is_null(0, 3));
  EXPECT_TRUE(rows.is_null(0, 4));
  EXPECT_EQ(rows.int64(0, 5), 6);
  EXPECT_TRUE(rows.boolean(0, 6));
  EXPECT_EQ(rows.int64(0, 7), 5'000'000);
}

TEST_F(PostgresConnection, ATextWithNulIsRefusedNotCut) {
  EXPECT_EQ(sqlstate_of([&] { other_.exec("SELECT $1::text", {std::string("a\0b", 3)}); }),
            "22021");
}

TEST_F(PostgresConnection, SetsItsSession) {
  const Rows rows = other_.exec(
      "SELECT current_setting('idle_in_transaction_session_timeout'),"
      " current_setting('lock_timeout'), current_setting('TimeZone'),"
      " current_setting('application_name'), current_setting('client_encoding')");
  EXPECT_EQ(rows.text(0, 0), "5s");
  EXPECT_EQ(rows.text(0, 1), "5s");
  EXPECT_EQ(rows.text(0, 2), "UTC");
  EXPECT_EQ(rows.text(0, 3), "test");
  EXPECT_EQ(rows.text(0, 4), "UTF8");
}

TEST_F(PostgresConnection, AScriptIsOneTransaction) {
  EXPECT_EQ(sqlstate_of([&] { other_.exec("CREATE TABLE t (v int); SELECT 1 / 0"); }), "22012");
  EXPECT_FALSE(other_.exec("SELECT to_regclass('t') IS NOT NULL").boolean(0, 0));
}

TEST_F(PostgresConnection, RollsBackUnlessCommitted) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int)");
  {
    Transaction dropped = connection.begin();
    EXPECT_EQ(dropped.exec("INSERT INTO t VALUES (1), (2)").affected(), 2U);
  }
  EXPECT_EQ(count(other_, "t"), 0);
  {
    Transaction failed = connection.begin();
    failed.exec("INSERT INTO t VALUES (1)");
    EXPECT_EQ(sqlstate_of([&] { failed.exec("INSERT INTO t VALUES ('x')"); }), "22P02");
  }
  EXPECT_EQ(count(other_, "t"), 0);
  Transaction kept = connection.begin();
  kept.exec("INSERT INTO t VALUES (1)");
  kept.commit();
  EXPECT_EQ(count(other_, "t"), 1);
}

TEST_F(PostgresConnection, AConnectionLostInATransactionIsUnavailableAndStaysClosed) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int)");
  {
    Transaction transaction = connection.begin();
    transaction.exec("INSERT INTO t VALUES (1)");
    terminate(other_, backend_of(transaction));
    EXPECT_THROW(transaction.exec("INSERT INTO t VALUES (2)"), Unavailable);
  }
  EXPECT_FALSE(connection.is_open());
  EXPECT_THROW(connection.exec("SELECT 1"), Unavailable) << "never reopened in silence";
  EXPECT_THROW((void)connection.begin(), Unavailable);
  EXPECT_EQ(count(other_, "t"), 0);
  connection = database_.connect();
  EXPECT_EQ(connection.exec("SELECT 1").int64(0, 0), 1);
}

TEST_F(PostgresConnection, AConnectionLostBetweenTransactionsIsUnavailable) {
  Connection connection = database_.connect();
  terminate(other_, backend_of(connection));
  EXPECT_THROW((void)connection.begin(), Unavailable);
  EXPECT_FALSE(connection.is_open());
}

TEST_F(PostgresConnection, AConnectionLostDuringCommitIsInDoubt) {
  Connection connection = database_.connect();
  connection.exec(
      "CREATE TABLE t (v int);"
      "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
      " FOR EACH ROW EXECUTE FUNCTION wait_at_commit()");
  Transaction transaction = connection.begin();
  const std::int64_t backend = backend_of(transaction);
  transaction.exec("INSERT INTO t VALUES (1)");
  auto committed = std::async(std::launch::async, [&] { transaction.commit(); });
  ASSERT_TRUE(eventually(other_, "EXISTS (SELECT FROM pg_stat_activity WHERE pid = " +
                                     std::to_string(backend) + " AND wait_event = 'PgSleep')"));
  terminate(other_, backend);
  EXPECT_THROW(committed.get(), InDoubt);
  EXPECT_FALSE(connection.is_open());
}

TEST_F(PostgresConnection, ASessionLostBeforeCommitIsKnownToBeRolledBack) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int)");
  Transaction transaction = connection.begin();
  transaction.exec("INSERT INTO t VALUES (1)");
  terminate(other_, backend_of(transaction));
  EXPECT_FALSE(in_doubt([&] { transaction.commit(); }));
  EXPECT_EQ(count(other_, "t"), 0);
}

TEST_F(PostgresConnection, ATransactionLeftIdleIsKnownToBeRolledBack) {
  Connection connection = database_.connect();
  Transaction transaction = connection.begin();
  const std::int64_t backend = backend_of(transaction);
  transaction.exec("SET LOCAL idle_in_transaction_session_timeout = '20ms'");
  // Its end of the connection closes with the process, some time after pg_stat_activity forgot it.
  const auto process = static_cast<pid_t>(backend);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (::kill(process, 0) == 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ASSERT_NE(::kill(process, 0), 0);
  EXPECT_FALSE(in_doubt([&] { transaction.commit(); }));
}

TEST_F(PostgresConnection, ARefusalAtCommitIsNoDoubt) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  Transaction transaction = connection.begin();
  transaction.exec("INSERT INTO t VALUES (1), (1)");
  EXPECT_EQ(sqlstate_of([&] { transaction.commit(); }), "23505");
  EXPECT_TRUE(connection.is_open());
  EXPECT_EQ(count(other_, "t"), 0);
}

TEST_F(PostgresConnection, ALockTimeoutMayBeTriedAgain) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int); INSERT INTO t VALUES (1)");
  Transaction holder = connection.begin();
  holder.exec("SELECT v FROM t FOR UPDATE");
  try {
    Transaction waiter = other_.begin();
    waiter.exec("SET LOCAL lock_timeout = '20ms'");
    waiter.exec("UPDATE t SET v = 2");
    FAIL() << "passed a held lock";
  } catch (const StatementFailed& error) {
    EXPECT_EQ(error.sqlstate(), "55P03");
    EXPECT_TRUE(error.retriable());
  }
}

TEST_F(PostgresConnection, ASerializationFailureMayBeTriedAgain) {
  Connection connection = database_.connect();
  connection.exec("CREATE TABLE t (v int); INSERT INTO t VALUES (1)");
  Transaction snapshot = connection.begin(Isolation::kRepeatableRead);
  EXPECT_EQ(snapshot.exec("SELECT v FROM t").int64(0, 0), 1);
  other_.exec("UPDATE t SET v = 2");
  EXPECT_EQ(snapshot.exec("SELECT v FROM t").int64(0, 0), 1) << "one snapshot";
  try {
    snapshot.exec("UPDATE t SET v = 3");
    FAIL() << "overwrote what its snapshot did not see";
  } catch (const StatementFailed& error) {
    EXPECT_EQ(error.sqlstate(), "40001");
    EXPECT_TRUE(error.retriable());
  }
}

// libpqxx 6.4 has exception types of its own for some codes and forgets the code in a few of them:
// a statement without the right looked like a lost connection.
TEST_F(PostgresConnection, EveryCodeArrivesAsItWasAndKeepsTheConnection) {
  for (const char* state :
       {"TY001", "TY002", "0A000", "21000", "22000", "22012", "22P02", "23000", "23001",
        "23502", "23503", "23505", "23514", "23P01", "24000", "25006", "26000", "2BP01",
        "34000", "3F000", "40000", "40001", "40P01", "42000", "42501", "42601", "42703",
        "42704", "42710", "42883", "42P01", "53000", "53100", "53200", "53400", "54000",
        "55006", "55P03", "57014", "P0001", "P0002", "P0003", "XX000", "XX001"}) {
    EXPECT_EQ(sqlstate_of([&] {
                other_.exec(std::string("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '") +
                            state + "'; END $$");
              }),
              state);
  }
  EXPECT_TRUE(other_.is_open());
}

TEST(PostgresUnreachable, IsOneSentenceWithoutThePassword) {
  try {
    Connection("host=127.0.0.1 port=1 dbname=tally user=me password=geheim", "test");
    FAIL() << "connected to port 1";
  } catch (const Unavailable& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot connect to Postgres at"));
    EXPECT_THAT(error.what(), HasSubstr("port=1"));
    EXPECT_THAT(error.what(), Not(HasSubstr("geheim")));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
  }
}

}  // namespace
}  // namespace tally::integration
