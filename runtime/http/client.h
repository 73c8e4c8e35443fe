// A blocking HTTP/1.1 client with keep-alive, http and https (certificates and host names verified
// against the system's store; SSL_CERT_FILE replaces it), and http over a Unix socket. Beast is
// included by client.cc alone.
#pragma once

#include "runtime/http/http.h"

#include <chrono>
#include <memory>
#include <string>

namespace tally::runtime::http {

// What happened to one request. Only kAnswered carries a response. kNotSent: the other side cannot
// have acted on it (no connection). kUnknown: it was sent, in part or whole, and no full answer
// came in time.
enum class Fate { kAnswered, kNotSent, kUnknown };

struct Outcome {
  Fate fate = Fate::kNotSent;
  Response response;
  std::string problem;  // for people, when not answered
};

// One thread at a time. A kept-alive connection that the server closed while idle is opened anew,
// but a request of which any byte was sent is never sent again by itself. Redirects are answers.
class Client {
 public:
  // `base_url`: "http://127.0.0.1:8080", "https://api.stripe.com" or "unix:/run/service/socket".
  // Throws std::invalid_argument.
  explicit Client(const std::string& base_url);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // Sets Host, User-Agent and Content-Length. `timeout` bounds connecting, sending and the whole
  // answer together, but for a name look-up: the system's resolver cannot be cut short, so one that
  // takes longer is waited for. Never throws for what the network does; an answer over 16 MiB is
  // kUnknown.
  [[nodiscard]] Outcome send(const Request& request, std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::http
