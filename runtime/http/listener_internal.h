// Accepts connections on TCP and on a Unix socket and deals them to the I/O threads. For the
// sources of this folder only.
#pragma once

#include "runtime/http/streams_internal.h"

#include <sys/types.h>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <mutex>
#include <string>
#include <vector>

namespace tally::runtime::http {

// Has a thread of its own: an I/O thread may be held up by a handler while another one has time.
// Member functions: any thread.
class Listener {
 public:
  // Listens from here on; throws std::runtime_error. Loops outlive it.
  Listener(Shared& shared, const std::vector<std::unique_ptr<Loop>>& loops);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void start();  // once
  void stop();   // listens no more on return; more than once does no harm
  void reload_tls();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint64_t accepted() const { return accepted_.value(); }
  [[nodiscard]] std::uint64_t refused() const { return refused_.value(); }

 private:
  template <typename Protocol>
  using Acceptor = asio::basic_socket_acceptor<Protocol, Executor>;
  using Tcp = asio::ip::tcp;
  using Unix = asio::local::stream_protocol;

  void listen_tcp();
  void listen_unix();
  void close();
  template <typename Protocol>
  void accept(Acceptor<Protocol>& acceptor, Timer& pause);
  template <typename Protocol>
  void failed(Acceptor<Protocol>& acceptor, Timer& pause, error_code ec);
  void deal(Loop& loop, Socket socket, TlsContext tls);
  [[nodiscard]] Loop& emptiest() const;
  [[nodiscard]] TlsContext tls();

  Shared& shared_;
  const std::vector<std::unique_ptr<Loop>>& loops_;
  asio::io_context context_{1};
  Acceptor<Tcp> tcp_;
  Acceptor<Unix> unix_;
  Timer tcp_pause_;
  Timer unix_pause_;
  std::uint16_t port_ = 0;
  dev_t unix_device_ = 0;  // of the socket file made here
  ino_t unix_inode_ = 0;
  std::chrono::steady_clock::time_point logged_at_{};
  std::mutex stop_mutex_;
  std::thread thread_;  // guarded by stop_mutex_
  Counter accepted_;
  Counter refused_;
  std::mutex tls_mutex_;
  TlsContext tls_;  // guarded by tls_mutex_
};

}  // namespace tally::runtime::http
