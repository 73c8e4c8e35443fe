// The values that HTTP servers and clients pass; no Beast here.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::runtime::http {

// Header names compare without case; of a repeated header the last stands.
struct CaseInsensitive {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};
using Headers = std::map<std::string, std::string, CaseInsensitive>;

struct Request {
  std::string method = "GET";
  std::string target = "/";  // path and query as sent
  Headers headers;
  std::string body;
  [[nodiscard]] std::string_view path() const;                                 // target up to '?'
  [[nodiscard]] std::optional<std::string> query(std::string_view key) const;  // decoded
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  // Sandbox only: close the connection without answering (a lost answer).
  bool drop_connection = false;
};

// Percent-decoding ('+' is a space in forms).
[[nodiscard]] std::string percent_decode(std::string_view text);
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace tally::runtime::http
