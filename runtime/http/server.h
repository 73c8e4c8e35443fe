// A small HTTP/1.1 server on Boost.Beast for health, metrics, admin and the sandbox.
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
  std::size_t max_body_bytes = 1024 * 1024;  // over it: 413
  std::size_t max_header_bytes = 16 * 1024;  // over it: 431
  std::chrono::milliseconds read_timeout{10'000};
  int threads = 1;
};

// The handler runs on the server's threads (several at once when threads > 1) and may block
// briefly; an exception becomes 500 and a log line. Throws std::runtime_error when the address
// cannot be bound.
class Server {
 public:
  using Handler = std::function<Response(const Request&)>;
  Server(const ServerOptions& options, Handler handler);
  ~Server();  // stops accepting, closes connections, joins
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::http
