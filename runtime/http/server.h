// A small HTTP/1.1 server on Boost.Beast for health, metrics, admin and the sandbox. Beast is
// included by server.cc alone. Errors that the server answers itself are JSON: {"error": "…"}.
#pragma once

#include "runtime/http/http.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace tally::runtime::http {

struct ServerOptions {
  std::string address = "127.0.0.1";  // loopback unless told otherwise
  std::uint16_t port = 0;             // 0: a free one, see Server::port()
  std::string bearer_token;  // not empty: 401 without `Authorization: Bearer …` (constant time)
  std::size_t max_body_bytes = 1024 * 1024;        // over it: 413
  std::size_t max_header_bytes = 16 * 1024;        // over it: 431
  std::chrono::milliseconds read_timeout{10'000};  // from first byte to whole request; over it: 408
  std::chrono::milliseconds idle_timeout{75'000};  // kept-alive without a request: closed
  std::size_t max_connections = 512;               // over it: 503 and closed
  int threads = 1;
};

// The handler runs on the server's threads (several at once when threads > 1) and may block
// briefly; an exception becomes 500 and a log line. `address` is a numeric IP or "localhost". The
// constructor throws std::runtime_error when the address cannot be bound.
class Server {
 public:
  using Handler = std::function<Response(const Request&)>;
  Server(const ServerOptions& options, Handler handler);
  ~Server();  // stops accepting, closes connections, joins
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] std::uint16_t port() const;  // the one bound

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::http
