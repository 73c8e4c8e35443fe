#include "core/json_cursor.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tally::core {
namespace {

// The problem with `text` as one whole value, or "".
std::string problem(std::string_view text) {
  JsonCursor cursor(text);
  std::string_view raw;
  if (!cursor.read_value(raw)) return std::string(cursor.problem());
  return cursor.at_end() ? "" : "something follows";
}

std::string unescaped(std::string_view text) {
  JsonCursor cursor(text);
  std::string out;
  return cursor.read_string(out) ? out : "refused: " + std::string(cursor.problem());
}

std::string nested(int depth) {
  std::string out;
  for (int i = 0; i < depth; ++i) out += '[';
  for (int i = 0; i < depth; ++i) out += ']';
  return out;
}

TEST(JsonCursor, AcceptsJson) {
  for (const char* text : {"{}", "[]", "0", "-0", "-1.5e+10", "1E5", "\"\"", "true", "false",
                           "null", " [ 1 , 2 ] ", "{\"a\":{\"a\":[{},[]]},\"b\":\"\\u0000\"}",
                           "\"\\ud83d\\ude00\"", "[1e999999]", "\t\r\n{}\n"}) {
    EXPECT_EQ(problem(text), "") << text;
  }
}

TEST(JsonCursor, RefusesWhatIsNot) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[",
                           "]",
                           "[1",
                           "[1,]",
                           "[,1]",
                           "{,}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "{1:1}",
                           "[1 2]",
                           "{\"a\":1 \"b\":2}",
                           "[1}",
                           "{\"a\":1]",
                           "tru",
                           "nul",
                           "True",
                           "NaN",
                           "-",
                           "+1",
                           "01",
                           "-01",
                           "1.",
                           ".1",
                           "1e",
                           "1e+",
                           "0x1",
                           "'a'",
                           "\"a",
                           "\"\\\"",
                           "\"\\",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\\ud800x\"",
                           "\"a\nb\"",
                           "\"\t\"",
                           "{} {}",
                           "1 2",
                           "[1]]",
                           "/**/1",
                           "\xef\xbb\xbf{}"}) {
    EXPECT_NE(problem(text), "") << text;
  }
}

TEST(JsonCursor, ResolvesEscapes) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("plain")", "plain"},
      {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
      {R"("\u0041\u00e9\u20ac")", "A\xc3\xa9\xe2\x82\xac"},
      {R"("\ud83d\ude00")", "\xf0\x9f\x98\x80"},
      {R"("\uD83D\uDE00x")", "\xf0\x9f\x98\x80x"},
      {R"("\uffff")", "\xef\xbf\xbf"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(unescaped(text), expected) << text;
  EXPECT_EQ(unescaped(R"("a\u0000b")"), std::string("a\0b", 3));
  EXPECT_EQ(unescaped(R"("\ud83d")"), "refused: half a surrogate pair in a string");
}

TEST(JsonCursor, WrittenStringsReadBackForEveryByte) {
  std::string all;
  for (int byte = 0; byte < 0x80; ++byte) all += static_cast<char>(byte);
  all += "\xc3\xa9\xf0\x9f\x98\x80";
  std::string written;
  append_json_string(all, written);
  EXPECT_EQ(unescaped(written), all);
  EXPECT_EQ(problem(written), "");
}

TEST(JsonCursor, NestsSixtyFourDeepAndNoDeeper) {
  EXPECT_EQ(problem(nested(64)), "");
  EXPECT_EQ(problem(nested(65)), "nested deeper than 64");
  EXPECT_EQ(problem(std::string(1'000'000, '[')), "nested deeper than 64");
  std::string row = "[";
  for (int i = 0; i < 200; ++i) row += nested(60) + ",";
  EXPECT_EQ(problem(row + "1]"), "") << "depth must fall again";
}

TEST(JsonCursor, FindsAMemberNamedTwiceAtAnyDepth) {
  const char* const twice = "an object names a member twice";
  EXPECT_EQ(problem(R"({"a":1,"a":2})"), twice);
  EXPECT_EQ(problem(R"({"a":1,"\u0061":2})"), twice);
  EXPECT_EQ(problem(R"({"":1,"":2})"), twice);
  EXPECT_EQ(problem(R"([{"x":{"y":1,"z":2,"y":3}}])"), twice);
  EXPECT_EQ(problem(R"({"a":{"b":1},"b":{"a":1}})"), "");
  EXPECT_EQ(problem(R"({"a":1,"A":2})"), "");
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += "\"m" + std::to_string(i) + "\":{\"in\":1},";
  EXPECT_EQ(problem(many + "\"last\":1}"), "");
  EXPECT_EQ(problem(many + "\"m500\":1}"), twice);
}

TEST(JsonCursor, KeepsTheTextOfAValue) {
  JsonCursor cursor("  { \"a\" : 1.50 }  ,");
  std::string_view raw;
  ASSERT_TRUE(cursor.read_value(raw));
  EXPECT_EQ(raw, "{ \"a\" : 1.50 }");
  EXPECT_TRUE(cursor.consume(','));
}

TEST(Utf8, IsCheckedStrictly) {
  EXPECT_TRUE(valid_utf8(""));
  EXPECT_TRUE(valid_utf8("\xc3\xa9\xf0\x9f\x98\x80"));
  for (const char* bad : {"\x80", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"}) {
    EXPECT_FALSE(valid_utf8(bad));
  }
}

}  // namespace
}  // namespace tally::core
