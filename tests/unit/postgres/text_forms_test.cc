#include "runtime/postgres/connection.h"

#include <gtest/gtest.h>

namespace tally::runtime::postgres {
namespace {

TEST(BytesText, IsPostgresHexForm) {
  EXPECT_EQ(bytes_text(""), "\\x");
  EXPECT_EQ(bytes_text(std::string("\x00\x7f\x80\xff", 4)), "\\x007f80ff");
}

TEST(ArrayText, QuotesAndEscapesTexts) {
  ArrayText array;
  array.add("plain");
  array.add("");
  array.add("NULL");
  array.add("a,b {c}");
  array.add(R"(say "hi" \ bye)");
  array.add_null();
  EXPECT_EQ(array.take(), R"({"plain","","NULL","a,b {c}","say \"hi\" \\ bye",NULL})");
}

TEST(ArrayText, IsEmptyAgainAfterTake) {
  ArrayText array;
  EXPECT_EQ(array.take(), "{}");
  array.add(std::int64_t{-5});
  array.add(std::int64_t{9'223'372'036'854'775'807});
  EXPECT_EQ(array.take(), "{-5,9223372036854775807}");
  EXPECT_EQ(array.take(), "{}");
}

TEST(StatementFailed, TellsWhatMayPassWhenTriedAgain) {
  for (const char* state : {"40001", "40P01", "55P03", "53100", "53200", "57014", "25006"}) {
    EXPECT_TRUE(StatementFailed(state, "").retriable()) << state;
  }
  for (const char* state : {"23505", "42P01", "TY001", "22P02", "22021", "42501", ""}) {
    EXPECT_FALSE(StatementFailed(state, "").retriable()) << state;
  }
}

TEST(StatementFailed, TellsThatTheSchemaIsAnotherVersions) {
  for (const char* state : {"3F000", "42P01", "42703", "42883"}) {
    EXPECT_TRUE(StatementFailed(state, "").is_other_schema()) << state;
  }
  for (const char* state : {"40001", "23505", "42501", "42601", "42704", "TY001", ""}) {
    EXPECT_FALSE(StatementFailed(state, "").is_other_schema()) << state;
  }
}

}  // namespace
}  // namespace tally::runtime::postgres
