#include "runtime/http/http.h"

#include <gtest/gtest.h>

namespace tally::runtime::http {
namespace {

TEST(HttpValuesTest, QueryIsDecoded) {
  Request request;
  request.target = "/a/b?x=1&name=a%20b+c&flag&x%5B%5D=2";
  EXPECT_EQ(request.path(), "/a/b");
  EXPECT_EQ(request.query("x"), "1");
  EXPECT_EQ(request.query("name"), "a b c");
  EXPECT_EQ(request.query("flag"), "");
  EXPECT_EQ(request.query("x[]"), "2");
  EXPECT_EQ(request.query("y"), std::nullopt);
  request.target = "/a";
  EXPECT_EQ(request.query("x"), std::nullopt);
}

TEST(HttpValuesTest, PercentCoding) {
  EXPECT_EQ(percent_encode("a b/\xc3\xa9~"), "a%20b%2F%C3%A9~");
  EXPECT_EQ(percent_decode(percent_encode("a+b%c")), "a+b%c");
  EXPECT_EQ(percent_decode("%"), "%");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("%zz%41"), "%zzA");
}

TEST(HttpValuesTest, HeaderNamesIgnoreCase) {
  Request request;
  request.headers.set("Content-Type", "x");
  request.headers.set("content-type", "y");
  EXPECT_EQ(request.headers.size(), 1U);
  EXPECT_EQ(request.header("CONTENT-TYPE"), "y");
  EXPECT_EQ(request.header("Accept"), "");
}

TEST(HttpValuesTest, HeadersKeepTheirOrderAndTheLastStands) {
  Headers headers = {{"A", "1"}, {"b", "2"}, {"a", "3"}};
  EXPECT_EQ(headers.get("A"), "3");
  EXPECT_EQ(headers.count("a"), 2U);
  EXPECT_EQ(headers.find("c"), std::nullopt);
  std::string all;
  for (const auto& [name, value] : headers) all.append(name).append(value);
  EXPECT_EQ(all, "A1b2a3");
  headers.set("a", "4");
  EXPECT_EQ(headers.size(), 2U);
  EXPECT_EQ(headers[0].first, "b");
  EXPECT_EQ(headers[1].second, "4");
  headers.clear();
  EXPECT_TRUE(headers.empty());
}

TEST(HttpValuesTest, EqualInConstantTime) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "ab"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
}

TEST(HttpValuesTest, Endpoints) {
  EXPECT_EQ(parse_endpoint("127.0.0.1:80")->port, 80);
  EXPECT_EQ(parse_endpoint("[::1]:9090")->host, "::1");
  for (const char* bad : {"", ":80", "host", "host:", "host:65536", "host:-1", "::1:80", "h:8x"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
}

}  // namespace
}  // namespace tally::runtime::http
