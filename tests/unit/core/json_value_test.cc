#include "core/json_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tally::core {
namespace {

std::string canonical(std::string_view text) {
  const auto value = parse_json(text);
  if (!value) return value.error().message;
  std::string out;
  append_canonical(value.value(), out);
  return out;
}

TEST(JsonValue, CanonicalTextSortsMembersAndKeepsNumbers) {
  EXPECT_EQ(
      canonical(R"( { "b" : [ 1.50, -0, 1e400, true, null ], "a" : { "d":"\u0041", "c":{} } } )"),
      R"({"a":{"c":{},"d":"A"},"b":[1.50,-0,1e400,true,null]})");
}

TEST(JsonValue, CanonicalTextIsAFixedPoint) {
  const std::string once = canonical(R"({"z":1,"a":[{"y":"\n","x":[]}]})");
  EXPECT_EQ(canonical(once), once);
}

TEST(JsonValue, ErrorsSayWhere) {
  EXPECT_EQ(canonical("{\n  \"a\": 1,\n  \"b\": x\n}"), "line 3, column 8: expected a value");
  EXPECT_EQ(canonical(""), "line 1, column 1: expected a value");
  EXPECT_THAT(canonical("{\"a\":1,\"a\":2}"), testing::HasSubstr("names a member twice"));
  EXPECT_THAT(canonical("{\"a\":1,\"\\u0061\":2}"), testing::HasSubstr("names a member twice"));
  EXPECT_THAT(canonical("[1] 2"), testing::HasSubstr("something follows"));
  EXPECT_THAT(canonical("\"\xff\""), testing::HasSubstr("not UTF-8"));
  EXPECT_THAT(canonical(std::string(100, '[')), testing::HasSubstr("deeper than 64"));
}

}  // namespace
}  // namespace tally::core
