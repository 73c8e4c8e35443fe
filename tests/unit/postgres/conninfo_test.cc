#include "runtime/postgres/conninfo.h"

#include "runtime/postgres/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace tally::runtime::postgres {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Conninfo, AddsBoundsOnWaitingAndTheName) {
  ::unsetenv("PGCONNECT_TIMEOUT");
  const Conninfo info = read_conninfo("host=db dbname=tally", "tally-test");
  EXPECT_THAT(info.complete, HasSubstr("host='db'"));
  EXPECT_THAT(info.complete, HasSubstr("connect_timeout='10'"));
  EXPECT_THAT(info.complete, HasSubstr("tcp_user_timeout='30000'"));
  EXPECT_THAT(info.complete, HasSubstr("application_name='tally-test'"));
  EXPECT_THAT(info.complete, HasSubstr("client_encoding='UTF8'"));
}

TEST(Conninfo, KeepsWhatWasGiven) {
  const Conninfo info = read_conninfo(
      "postgresql://me:geheim@db:5433/tally?connect_timeout=3&application_name=other", "tally");
  EXPECT_THAT(info.complete, HasSubstr("connect_timeout='3'"));
  EXPECT_THAT(info.complete, Not(HasSubstr("connect_timeout='10'")));
  EXPECT_THAT(info.complete, HasSubstr("application_name='tally'"));
  EXPECT_THAT(info.complete, HasSubstr("password='geheim'"));
}

TEST(Conninfo, QuotesValues) {
  const Conninfo info = read_conninfo(R"(password='it\'s a \\ secret' host=db)", "tally");
  EXPECT_THAT(info.complete, HasSubstr(R"(password='it\'s a \\ secret')"));
}

TEST(Conninfo, NeverShowsASecret) {
  const Conninfo info =
      read_conninfo("host=db port=5433 dbname=tally user=me password=geheim sslpassword=auch", "t");
  for (const char* part : {"host=db", "port=5433", "dbname=tally", "user=me"}) {
    EXPECT_THAT(info.shown, HasSubstr(part));
  }
  EXPECT_THAT(info.shown, Not(HasSubstr("geheim")));
  EXPECT_THAT(info.shown, Not(HasSubstr("auch")));
  EXPECT_EQ(info.without_secrets("login geheim\n\tfailed, auch this\n"),
            "login *** failed, *** this");
}

TEST(Conninfo, DoesNotRepeatATextThatCannotBeRead) {
  for (const char* text : {"geheim", "host=db geheim", "postgresql://me:geheim@db:x=1/?geheim=1"}) {
    try {
      (void)read_conninfo(text, "tally");
      FAIL() << text;
    } catch (const Unavailable& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("geheim")));
      EXPECT_THAT(error.what(), HasSubstr("postgresql://user@host:port/dbname"));
    }
  }
}

}  // namespace
}  // namespace tally::runtime::postgres
