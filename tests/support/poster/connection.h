// One keep-alive connection to an HTTP server on loopback, by blocking sockets: as plain as a
// client can be, and nothing of the server's code. Threads: one at a time. Lifetime: closes what it
// opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::drill {

struct Answer {
  int status = 0;
  std::string body;
};

class Connection {
 public:
  Connection() = default;
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Whether somebody listens on 127.0.0.1 at this port.
  [[nodiscard]] bool open(std::uint16_t port);
  [[nodiscard]] bool is_open() const { return socket_ >= 0; }
  // Nothing: the connection ended, or nothing came for a minute, before a whole answer was read. It
  // is closed then, and where the answer asks for it.
  [[nodiscard]] std::optional<Answer> post(std::string_view path, std::string_view content_type,
                                           std::string_view body);

 private:
  [[nodiscard]] bool send_all(std::string_view bytes);
  [[nodiscard]] bool receive();  // some bytes more in received_
  [[nodiscard]] std::optional<Answer> read_answer();
  void close();

  int socket_ = -1;
  std::string received_;
};

}  // namespace tally::drill
