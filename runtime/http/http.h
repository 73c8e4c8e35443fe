// The values that HTTP servers and clients pass; no Beast here. All plain values: any thread.
#pragma once

#include "runtime/http/bytes_receiving.h"
#include "runtime/http/headers.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tally::runtime::http {

struct Request {
  std::string method = "GET";
  std::string target = "/";  // path and query as sent
  Headers headers;
  std::string body;
  // What ServerOptions::admit leaves for the handler, which knows its type.
  std::shared_ptr<void> grant = {};
  // Likewise: whose bytes the body counts as while it arrives; nullptr: nobody's in particular.
  std::shared_ptr<BytesReceiving> account = {};
  [[nodiscard]] std::string_view path() const;                                 // target up to '?'
  [[nodiscard]] std::optional<std::string> query(std::string_view key) const;  // decoded
  [[nodiscard]] std::string_view header(std::string_view name) const;  // the last; "" when absent
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  // Sandbox only: close the connection without answering (a lost answer).
  bool drop_connection = false;
  // Sandbox only: what drop_connection closes, it closes by a TCP reset.
  bool reset_connection = false;
  // Sandbox only: the answer (or the drop) leaves this much later; no thread waits for it.
  std::chrono::milliseconds delay{0};
  [[nodiscard]] std::string_view header(std::string_view name) const;  // "" when absent
};

// Percent-decoding ('+' is a space in forms). A '%' without two hex digits stays as it is.
[[nodiscard]] std::string percent_decode(std::string_view text);
// Everything but letters, digits and -._~ becomes %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

// Takes equally long wherever the two differ (their lengths may show).
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

// "127.0.0.1:8080", "localhost:0" or "[::1]:9090"; nullopt when it is no HOST:PORT.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
};
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace tally::runtime::http
