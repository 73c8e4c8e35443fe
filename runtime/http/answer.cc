#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <charconv>

#include "runtime/http/connection_internal.h"

namespace tally::runtime::http {
namespace {

void append_number(std::string& out, std::size_t number) {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  out.append(std::begin(digits), end);
}

// A line break in a name or value would begin a header, or an answer, of its own.
void append_field(std::string& out, std::string_view name, std::string_view value) {
  const std::size_t begin = out.size();
  out.append(name).append(": ").append(value);
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
      [](char c) { return c == '\r' || c == '\n'; }, ' ');
  out.append("\r\n");
}

// What the server says itself, as it knows better.
bool is_framing(std::string_view name) {
  return equal_without_case(name, "Content-Length") || equal_without_case(name, "Connection") ||
         equal_without_case(name, "Transfer-Encoding");
}

}  // namespace

void append_answer(std::string& out, const Response& response, AnswerBody body, AfterAnswer after) {
  const auto status = static_cast<unsigned>(response.status);
  const auto reason =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  out.append("HTTP/1.1 ");
  append_number(out, status);
  out.append(" ").append(reason.data(), reason.size()).append("\r\n");
  for (const auto& [name, value] : response.headers) {
    if (!is_framing(name)) append_field(out, name, value);
  }
  const bool has_body = status != 204 && status != 304;
  if (has_body) {
    out.append("Content-Length: ");
    append_number(out, response.body.size());
    out.append("\r\n");
  }
  if (after == AfterAnswer::kCloses) out.append("Connection: close\r\n");
  out.append("\r\n");
  if (has_body && body == AnswerBody::kSent) out.append(response.body);
}

}  // namespace tally::runtime::http
