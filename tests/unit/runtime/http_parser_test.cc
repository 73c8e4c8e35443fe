// Requests that come in pieces, cut at every byte: TCP and TLS may cut anywhere, and who sends them
// may choose where.
#include "tests/unit/runtime/request_pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tally::runtime::http {
namespace {

using testing::HasSubstr;

const std::string kPost = "POST /p HTTP/1.1\r\nHost: x\r\n";

ServerOptions small() {
  ServerOptions options;
  options.max_body_bytes = 100;
  options.max_header_bytes = 300;
  options.max_target_bytes = 100;
  return options;
}

std::vector<ReadRequest> read_whole(std::string_view bytes) {
  return read_requests(small(), {{bytes}});
}

// The answer to `bytes` in one piece, which is that to each two pieces and to single bytes.
std::vector<ReadRequest> read_all_ways(std::string_view bytes) {
  std::vector<ReadRequest> whole = read_whole(bytes);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    const std::vector<ReadRequest> cut_in_two =
        read_requests(small(), {{bytes.substr(0, cut), bytes.substr(cut)}});
    EXPECT_EQ(cut_in_two, whole) << "cut at byte " << cut << " of " << bytes;
    if (cut_in_two != whole) break;
  }
  std::vector<std::string_view> single;
  for (std::size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
  EXPECT_EQ(read_requests(small(), single), whole) << "byte by byte: " << bytes;
  return whole;
}

void expect_refused(std::string_view bytes, int status) {
  const std::vector<ReadRequest> read = read_all_ways(bytes);
  ASSERT_EQ(read.size(), 1U) << bytes;
  EXPECT_EQ(read[0].refused, status) << bytes << "\n" << read[0].sentence;
}

TEST(HttpParserTest, CutsChangeNothing) {
  const std::string three =
      "GET /one HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-B: 2\r\n\r\n" + kPost +
      "Content-Length: 3\r\n\r\nabcPOST /two?q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
      "\r\n\r\n3;e=f\r\nabc\r\na\r\n0123456789\r\n0\r\nX-T: u\r\n\r\n";
  const std::vector<ReadRequest> read = read_all_ways(three);
  ASSERT_EQ(read.size(), 3U);
  EXPECT_EQ(read[0].headers, "Host: x\nX-A: 1\nX-B: 2\n");
  EXPECT_EQ(read[1].body, "abc");
  EXPECT_EQ(read[2].body, "abc0123456789");
}

TEST(HttpParserTest, AFoldedLineIsSeenWhereverItIsCut) {
  expect_refused(kPost + "X-A: 1\r\n 2\r\nX-B: 3\r\nContent-Length: 0\r\n\r\n", 400);
  expect_refused(kPost + "Content-Length: 1\r\n\t0\r\nX-B: 3\r\n\r\n0123456789", 400);
  expect_refused(kPost + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400);
}

// Each header by itself is small, and each piece holds one.
TEST(HttpParserTest, HeadersAreBoundedTogetherHoweverTheyCome) {
  std::string many = kPost;
  for (int i = 100; i < 200; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  expect_refused(many + "\r\n", 431);
  expect_refused("GET /" + std::string(400, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414);
  expect_refused("GET /" + std::string(101, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414);
  std::string fits = kPost + "X: ";
  fits += std::string(300 - fits.size() - 4, 'y') + "\r\n\r\n";
  EXPECT_EQ(read_all_ways(fits).at(0).refused, 0);
  fits.insert(fits.find("yy"), "y");
  expect_refused(fits, 431);
}

TEST(HttpParserTest, WhereABodyEndsIsSaidOnceAndInDigits) {
  for (const char* length :
       {"+5", "-5", "5,5", "5, 5", "0x5", "5 5", "5;", "", "5.0", "\v5", "18446744073709551616"}) {
    expect_refused(kPost + "Content-Length: " + length + "\r\n\r\nabcde", 400);
  }
  const std::string five = "Content-Length: 5\r\n";
  expect_refused(kPost + five + five + "\r\nabcde", 400);
  expect_refused(kPost + five + "Content-Length: 6\r\n\r\nabcdef", 400);
  expect_refused(kPost + five + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
  expect_refused(kPost + "Content-Length : 5\r\n\r\nabcde", 400);
  expect_refused(kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501);
  expect_refused(kPost + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501);
  // White space around a value is none of it (RFC 9110, 5.5).
  EXPECT_EQ(read_all_ways(kPost + "Content-Length: \t 5 \r\n\r\nabcde").at(0).body, "abcde");
}

TEST(HttpParserTest, ChunksAreSaidInHexDigitsAlone) {
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  for (const char* size : {"+3", "-3", " 3", "0x3", "3 ", "3,3", "", "3\n"}) {
    const auto read = read_all_ways(chunked + size + "\r\nabc\r\n0\r\n\r\n");
    ASSERT_EQ(read.size(), 1U) << size;
    EXPECT_EQ(read[0].refused, 400) << size;
  }
  expect_refused(chunked + "3\nabc\r\n0\r\n\r\n", 400);
  expect_refused(chunked + "3\r\nabcX\r\n0\r\n\r\n", 400);
  expect_refused(chunked + "3;a\nb\r\nabc\r\n0\r\n\r\n", 400);
}

// Beast asserted that five bytes were there, and the process was gone.
TEST(HttpParserTest, AnEmptyBodyOfChunksMayComeInPieces) {
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  for (const char* last : {"0\r\n\r\n", "000\r\n\r\n", "0;e=f\r\n\r\n", "0\r\nX: y\r\n\r\n"}) {
    const auto read = read_all_ways(chunked + last + kPost + "\r\n");
    ASSERT_EQ(read.size(), 2U) << last;
    EXPECT_EQ(read[0].body, "") << last;
  }
}

// In one piece they were read, in several refused.
TEST(HttpParserTest, ChunkExtensionsAndTrailersAreBoundedHoweverTheyCome) {
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  // `count` of 'e' between the two.
  const auto filled = [&](std::string_view before, std::string_view after, std::size_t count) {
    return chunked + std::string(before) + std::string(count, 'e') + std::string(after);
  };
  const std::string extended = "\r\nabc\r\n0\r\n\r\n";
  EXPECT_EQ(read_all_ways(filled("3;", extended, 296)).at(0).body, "abc");
  expect_refused(filled("3;", extended, 297), 400);
  // The line's end of the chunk before counts too.
  EXPECT_EQ(read_all_ways(filled("1\r\nz\r\n3;", extended, 294)).at(0).body, "zabc");
  expect_refused(filled("1\r\nz\r\n3;", extended, 295), 400);
  const std::string trailed = "0\r\nX: ";
  EXPECT_EQ(read_all_ways(filled(trailed, "\r\n\r\n", 290)).at(0).refused, 0);
  expect_refused(filled(trailed, "\r\n\r\n", 291), 400);
  // For the same reason, too.
  expect_refused(filled("z", extended, 400), 400);
  expect_refused(filled("3;", "\nabc", 400), 400);
  expect_refused(filled("0\r\n", "\r\n\r\n", 400), 400);
}

TEST(HttpParserTest, LinesEndInOneWay) {
  expect_refused("GET / HTTP/1.1\nHost: x\n\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: x\r\n\n", 400);
  expect_refused("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
  expect_refused(std::string("GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n", 30), 400);
  expect_refused(std::string("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 29), 400);
  expect_refused("\x16\x03\x01", 400);  // TLS, where none is spoken
}

// One would be judged, and another reader of the request would take the other.
TEST(HttpParserTest, WhatSaysWhoAndWhatStandsOnce) {
  for (const char* name : {"Host", "Authorization", "Content-Type"}) {
    const std::string line = std::string(name) + ": x\r\n";
    expect_refused("POST / HTTP/1.1\r\nHost: x\r\n" + line + line + "\r\n", 400);
  }
  EXPECT_THAT(read_whole(kPost + "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n")
                  .at(0)
                  .sentence,
              HasSubstr("several Authorization"));
}

TEST(HttpParserTest, TargetsArePathsOrUris) {
  const auto target_of = [](const std::string& target) {
    return read_all_ways("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n").at(0).target;
  };
  EXPECT_EQ(target_of("/a//b?c=http://d"), "/a//b?c=http://d");
  EXPECT_EQ(target_of("http://y:80/a?b"), "/a?b");
  EXPECT_EQ(target_of("HTTPS://y"), "/");
  EXPECT_EQ(target_of("http://y?b=/c"), "/?b=/c");
  EXPECT_EQ(read_all_ways("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").at(0).target, "*");
  for (const char* target : {"*", "a", "y:80", "http:/y", "http:///a", "http://", "http://?b",
                             "ftp://y/a", "://y/a", "?a"}) {
    expect_refused("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n", 400);
  }
}

}  // namespace
}  // namespace tally::runtime::http
