#include "producer/publish/csv.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tally::producer::publish {
namespace {

using Fields = std::vector<std::string_view>;

TEST(Csv, SplitsARow) {
  CsvRow row;
  EXPECT_FALSE(split_csv("a,,c", ',', row));
  EXPECT_EQ(row.fields, (Fields{"a", "", "c"}));
  EXPECT_FALSE(split_csv("", ',', row));
  EXPECT_EQ(row.fields, Fields{""});
  EXPECT_FALSE(split_csv("a,", ',', row));
  EXPECT_EQ(row.fields, (Fields{"a", ""}));
  EXPECT_FALSE(split_csv("\"a,\"\"b\"\"\r\nc\",\"\",\"\"\"\"", ',', row));
  EXPECT_EQ(row.fields, (Fields{"a,\"b\"\r\nc", "", "\""}));
  EXPECT_FALSE(split_csv(" a ;\" b \"", ';', row));
  EXPECT_EQ(row.fields, (Fields{" a ", " b "}));
}

TEST(Csv, NamesTheFieldWhoseQuotesAreWrong) {
  CsvRow row;
  EXPECT_EQ(split_csv("a,5\" disk,c", ',', row), 1U);
  EXPECT_EQ(split_csv("a,b,\"c\"d", ',', row), 2U);
  EXPECT_EQ(split_csv("\"a", ',', row), 0U);
  EXPECT_EQ(split_csv("\"a\"\"", ',', row), 0U);
}

}  // namespace
}  // namespace tally::producer::publish
