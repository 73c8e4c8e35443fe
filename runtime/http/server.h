// An HTTP/1.1 server on Boost.Beast's parser and Boost.Asio, for health, metrics, admin, ingest and
// the sandbox. No Beast or Asio in this header. docs/decisions/0013-http-server.md says why it is
// as it is.
#pragma once

#include "runtime/http/http.h"
#include "runtime/http/responder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tally::runtime::http {

// What the server itself answers: a status of 400 and up with a sentence for people, whole and
// plain ASCII. Called by the I/O threads, several at once. The default is {"error": "…"}.
using ErrorAnswer = std::function<Response(int status, std::string_view sentence)>;

// Judges a request by its head alone, when that is whole and the server itself finds nothing wrong:
// before `100 Continue` and before any byte of the body is kept. An answer refuses the request and
// ends the connection. May leave in `head.grant` what the handler needs, and in `head.account`
// whose bytes the body is; nothing else is to be changed. Called by the I/O threads, several at
// once; must not block. An exception becomes 500 and a log line.
using Admit = std::function<std::optional<Response>(Request& head)>;

// Time-outs are looked at by a tick of a quarter of the shortest, at most 250 ms: they end up to
// two ticks late, never early.
struct ServerOptions {
  std::string address = "127.0.0.1";  // loopback unless told otherwise; "": no TCP at all
  std::uint16_t port = 0;             // 0: a free one, see Server::port()
  // Not empty: listens here too (mode 0660), without TLS. A socket that nobody listens on is
  // replaced; anything else that stands there is an error. Removed when accepting ends.
  std::string unix_socket;
  // Both or neither: PEM files (a chain; its key). With them TCP speaks TLS 1.2 or newer only.
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string bearer_token;  // not empty: 401 without `Authorization: Bearer …` (constant time)
  std::size_t max_body_bytes = 1024 * 1024;  // over it: 413
  // Of bodies that are arriving, all connections together: what Content-Length says, or what came
  // in chunks, until the handler has returned. No less than max_body_bytes; over it: 503. Their
  // memory may be twice that, as texts grow by doubling.
  std::uint64_t max_bytes_receiving = 64ULL * 1024 * 1024;
  // Of them those of one account (Request::account): a half, and never less than a body; over it:
  // 429.
  [[nodiscard]] std::uint64_t max_bytes_receiving_of_account() const {
    return std::max<std::uint64_t>(max_bytes_receiving / 2, max_body_bytes);
  }
  std::size_t max_header_bytes = 16 * 1024;        // over it: 431
  std::size_t max_target_bytes = 8 * 1024;         // over it: 414
  std::chrono::milliseconds read_timeout{10'000};  // from first byte to whole request; over it: 408
  std::chrono::milliseconds idle_timeout{75'000};  // kept-alive without a request: closed
  std::chrono::milliseconds write_timeout{30'000};  // to take what was answered; over it: closed
  std::chrono::milliseconds handshake_timeout{10'000};  // TLS; over it: closed
  std::size_t max_connections = 512;                    // over it: 503 (TLS: nothing) and closed
  std::size_t max_pipelined = 16;  // 1 to 64: unanswered requests of one connection, then it waits
  int threads = 1;                 // I/O threads; a connection stays with one
  Admit admit;                     // empty: everything is let in
  ErrorAnswer error_answer;
};

// An address that is none, or files that hold no certificate: starting again changes nothing.
class WrongSetting : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Counted since the server's start, but for connections_open and bytes_receiving. Read one after
// the other while they go on, so they need not add up.
struct ServerStats {
  std::uint64_t connections_open = 0;
  std::uint64_t bytes_receiving = 0;  // of max_bytes_receiving
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;     // for max_connections
  std::uint64_t connections_failed = 0;      // closed for want of memory
  std::uint64_t requests = 0;                // read whole and given to the handler
  std::array<std::uint64_t, 6> responses{};  // by class, 2: 2xx; 0: dropped without an answer
  std::uint64_t request_timeouts = 0;        // 408
  std::uint64_t idle_timeouts = 0;
  std::uint64_t write_timeouts = 0;
  std::uint64_t tls_failures = 0;  // handshakes that failed or took too long
};

// Requests of one connection are answered in the order they came. Member functions: any thread but
// the server's own, so not from a handler.
class Server {
 public:
  // Runs on the I/O threads (several at once when threads > 1) and may block briefly: the other
  // connections of its thread wait meanwhile. An exception becomes 500 and a log line.
  using Handler = std::function<Response(const Request&)>;
  // Likewise, but answers when it likes, from any thread, while the connection's next requests are
  // read already. It must not block. It may move the request away or only read it; left in place,
  // its memory serves the next request.
  using AsyncHandler = std::function<void(Request&&, Responder)>;

  // `address` is a numeric IP or "localhost". Throw std::runtime_error with what to do when an
  // address cannot be bound, and as WrongSetting where it is none or a certificate cannot be read.
  Server(const ServerOptions& options, Handler handler);
  Server(const ServerOptions& options, AsyncHandler handler);
  ~Server();  // stops accepting, closes connections, joins
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;  // the one bound; 0 without TCP
  [[nodiscard]] ServerStats stats() const;

  // Reads certificate and key anew for the connections to come; those there are go on. Throws
  // std::runtime_error and keeps the old ones when the new ones do not serve.
  void reload_tls();

  // From the return on nothing listens any more; connections go on. More than once does no harm.
  void stop_accepting();
  // stop_accepting(), then: idle connections close, requests that were begun are read and answered,
  // the last of each connection with `Connection: close`. True when all connections were gone by
  // the deadline; what is left then goes on until the destructor.
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::http
