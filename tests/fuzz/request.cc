// runtime/http's RequestParser over bytes in pieces: what the requests are does not depend on the
// cuts; what is let through can be read in one way only, and is the same when it is written anew.
//
// The input's first byte says into how many pieces, the next bytes where; the rest is cut.
#include "core/check.h"
#include "tests/fuzz/target.h"
#include "tests/unit/runtime/request_pieces.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::fuzz {
namespace {

using runtime::http::read_requests;
using runtime::http::ReadRequest;

constexpr std::size_t kMaxCuts = 15;

runtime::http::ServerOptions options() {
  runtime::http::ServerOptions options;
  options.max_body_bytes = 64;
  options.max_header_bytes = 256;
  options.max_target_bytes = 64;
  options.max_bytes_receiving = 128;
  return options;
}

// Each cut is told by a byte: how much further on.
std::vector<std::string_view> cut(std::string_view input) {
  if (input.empty()) return {};
  const std::size_t cuts = std::min<std::size_t>(static_cast<unsigned char>(input.front()) & 15U,
                                                 (input.size() - 1) / 2);
  static_assert(kMaxCuts == 15U);
  std::string_view rest = input.substr(1 + cuts);
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < cuts; ++i) {
    const std::size_t bytes = static_cast<unsigned char>(input[1 + i]);
    pieces.push_back(rest.substr(0, bytes));
    rest.remove_prefix(std::min(bytes, rest.size()));
  }
  pieces.push_back(rest);
  return pieces;
}

// How often a header of this name, in lower case, is there.
std::size_t count(const ReadRequest& read, std::string_view name) {
  std::size_t found = 0;
  std::string_view rest = read.headers;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (runtime::http::equal_without_case(line.substr(0, line.find(':')), name)) ++found;
  }
  return found;
}

bool is_text(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

void check_plain(const ReadRequest& read) {
  for (const char* once :
       {"authorization", "content-type", "content-length", "transfer-encoding"}) {
    TALLY_CHECK(count(read, once) <= 1, "{}", once);
  }
  TALLY_CHECK(count(read, "content-length") + count(read, "transfer-encoding") <= 1);
  TALLY_CHECK(count(read, "host") <= 1);
  TALLY_CHECK(!read.method.empty() && read.body.size() <= options().max_body_bytes);
  TALLY_CHECK(read.target.starts_with('/') || read.target == "*", "{}", read.target);
  TALLY_CHECK(read.target.find_first_of(" \r\n\t") == std::string::npos, "{}", read.target);
  for (const char c : read.headers) TALLY_CHECK(c == '\n' || is_text(c), "{}", read.headers);
  if (count(read, "content-length") + count(read, "transfer-encoding") == 0) {
    TALLY_CHECK(read.body.empty(), "{}", read.body);
  }
}

// Its framing made plain, the rest as it was read.
std::string written(const ReadRequest& read) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\n", read.method, read.target);
  std::string_view rest = read.headers;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::string_view name = line.substr(0, line.find(':'));
    // What HTTP/1.0 passes over, HTTP/1.1 may refuse.
    const auto is = [name](const char* other) {
      return runtime::http::equal_without_case(name, other);
    };
    if (is("transfer-encoding") || is("content-length") || is("expect")) continue;
    text += fmt::format("{}\r\n", line);
  }
  if (count(read, "host") == 0) text += "Host: x\r\n";
  return text + fmt::format("Content-Length: {}\r\n\r\n{}", read.body.size(), read.body);
}

void check_again(const ReadRequest& read) {
  auto roomy = options();
  roomy.max_header_bytes *= 2;
  const std::string text = written(read);
  const auto again = read_requests(roomy, {{std::string_view(text)}});
  TALLY_CHECK(again.size() == 1 && again[0].refused == 0, "{}", text);
  TALLY_CHECK(again[0].method == read.method && again[0].target == read.target, "{}", text);
  TALLY_CHECK(again[0].body == read.body, "{}", text);
}

}  // namespace

void one_input(std::string_view input) {
  const std::vector<std::string_view> pieces = cut(input);
  if (pieces.empty()) return;
  std::string all;
  for (const std::string_view piece : pieces) all += piece;
  const auto in_pieces = read_requests(options(), pieces);
  const auto whole = read_requests(options(), {{std::string_view(all)}});
  TALLY_CHECK(in_pieces == whole, "{} requests, {} of them in pieces, of {}", whole.size(),
              in_pieces.size(), all);
  for (const ReadRequest& read : whole) {
    if (read.refused != 0) {
      TALLY_CHECK(read.refused >= 400 && read.refused < 600 && !read.sentence.empty());
      continue;
    }
    check_plain(read);
    check_again(read);
  }
}

}  // namespace tally::fuzz
