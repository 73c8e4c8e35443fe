#include "admin/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace tally::admin {
namespace {

TEST(Table, AlignsByCharactersNotBytes) {
  std::ostringstream out;
  print_table(out, {{"name"}, {"n", Align::kRight}}, {{"Zürich", "7"}, {"Bern", "1200"}});
  EXPECT_EQ(out.str(),
            "name       n\n"
            "------  ----\n"
            "Zürich     7\n"
            "Bern    1200\n");
}

TEST(Table, ShowsControlCharactersInsteadOfObeyingThem) {
  std::ostringstream out;
  print_table(out, {{"detail"}}, {{"\x1b[2Jgone\n"}});
  EXPECT_EQ(out.str(), "detail\n---------------\n\\x1b[2Jgone\\x0a\n");
}

TEST(JsonString, EscapesQuotesBackslashesAndControls) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01ü"), "\"a\\\"b\\\\c\\u000a\\u0001ü\"");
}

}  // namespace
}  // namespace tally::admin
