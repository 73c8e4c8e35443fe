#include "core/stored_headers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tally::core {
namespace {

using namespace std::string_literals;
using Headers = std::vector<HandoffHeader>;

void expect_back(const Headers& headers) {
  const std::string stored = join_headers(headers);
  const auto back = split_headers(stored);
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back.value().size(), headers.size());
  for (std::size_t i = 0; i < headers.size(); ++i) {
    EXPECT_EQ(back.value()[i].name, headers[i].name);
    EXPECT_EQ(back.value()[i].value, headers[i].value);
  }
}

TEST(StoredHeaders, PairsAreReadable) {
  EXPECT_EQ(join_headers(Headers{{"a", "b"}, {"", ""}, {"c", ""}}), "a\0b\0\0\0c\0\0"s);
  EXPECT_EQ(join_headers(Headers{}), "");
}

TEST(StoredHeaders, WhateverBytesTheyHoldTheyComeBack) {
  const std::string nul = "\0"s;
  expect_back({});
  expect_back({{"a", "b"}, {"", ""}, {"c", ""}, {"\x01", "\x01"}});
  expect_back({{"trace", "ab\0cd"s}, {"ce_id", "x"}});
  expect_back({{"trace", nul}});
  expect_back({{nul, ""}});
  expect_back({{"", "\0\x01"s}});
  // Two NULs in a value would be a pair more, and the ones after it would be read askew.
  expect_back({{"a", "b\0ce_id\0forged"s}, {"ce_id", "true"}});
}

TEST(StoredHeaders, OthersAreRefused) {
  EXPECT_FALSE(split_headers("a\0b"s));
  EXPECT_FALSE(split_headers("a\0"s));
  EXPECT_FALSE(split_headers("\x05\0\0\0abc\x01"s));
  EXPECT_FALSE(split_headers("\x03\0\0\0abc\x01"s));
  EXPECT_FALSE(split_headers("\xff\xff\xff\xff\x01"s));
}

}  // namespace
}  // namespace tally::core
