#include "runtime/http/listener_internal.h"

#include "runtime/http/connection_internal.h"
#include "runtime/log/log.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <new>
#include <stdexcept>

namespace tally::runtime::http {
namespace {

// Refused connections stay until they were told; beyond so many they are not told.
constexpr std::size_t kRefusedAtOnce = 64;
constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::minutes kLogPause{1};

bool is_socket(const std::string& path, struct ::stat& found) {
  return ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
}

// Whether what a crashed process left stands there and nobody listens any more.
bool is_stale(const asio::local::stream_protocol::endpoint& endpoint) {
  struct ::stat found = {};
  if (!is_socket(endpoint.path(), found)) return false;
  asio::io_context context;
  asio::local::stream_protocol::socket socket(context);
  error_code ec;
  socket.connect(endpoint, ec);
  return ec == asio::error::connection_refused;
}

// In the loop's own thread. A connection for which there is no memory is closed without a word.
void begin(Place place, Socket socket, TlsContext tls, bool is_refused) {
  Loop& loop = place.loop();
  std::shared_ptr<Connection> connection;
  try {
    connection = tls != nullptr
                     ? make_tls_connection(std::move(place), std::move(socket), std::move(tls))
                     : make_plain_connection(std::move(place), std::move(socket));
    if (is_refused) connection->refuse(503, "too many connections; try again later");
    connection->start();
    if (loop.draining()) connection->drain();
  } catch (const std::bad_alloc&) {
    loop.counters.connections_failed.add();
    if (connection != nullptr) connection->close();
  }
}

}  // namespace

Listener::Listener(Shared& shared, const std::vector<std::unique_ptr<Loop>>& loops)
    : shared_(shared),
      loops_(loops),
      tcp_(context_),
      unix_(context_),
      tcp_pause_(context_),
      unix_pause_(context_) {
  const ServerOptions& options = shared.options;
  if (options.address.empty() && options.unix_socket.empty()) {
    throw WrongSetting("there is nothing to listen on: give an address or a Unix socket");
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    throw WrongSetting("TLS needs both a certificate file and a key file");
  }
  if (!options.tls_certificate_file.empty()) tls_ = read_tls_files(options);
  if (!options.address.empty()) listen_tcp();
  if (!options.unix_socket.empty()) listen_unix();
}

Listener::~Listener() {
  stop();
  close();  // what was never started
}

void Listener::listen_tcp() {
  const ServerOptions& options = shared_.options;
  error_code ec;
  const std::string host = options.address == "localhost" ? "127.0.0.1" : options.address;
  const auto address = asio::ip::make_address(host, ec);
  if (ec) {
    throw WrongSetting(fmt::format("cannot listen on {}: give a numeric IP address or localhost",
                                   options.address));
  }
  const Tcp::endpoint endpoint(address, options.port);
  tcp_.open(endpoint.protocol(), ec);
  if (!ec) tcp_.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) tcp_.bind(endpoint, ec);
  if (!ec) tcp_.listen(asio::socket_base::max_listen_connections, ec);
  if (!ec) port_ = tcp_.local_endpoint(ec).port();
  if (ec) {
    throw std::runtime_error(fmt::format("cannot listen on {}:{}: {}; choose another port",
                                         options.address, options.port, ec.message()));
  }
}

void Listener::listen_unix() {
  const std::string& path = shared_.options.unix_socket;
  const auto refuse = [&](const std::string& problem) {
    return std::runtime_error(fmt::format(
        "cannot listen on {}: {}; choose a free path of at most {} bytes in a folder that "
        "is yours",
        path, problem, sizeof(sockaddr_un::sun_path) - 1));
  };
  if (path.size() >= sizeof(sockaddr_un::sun_path)) throw refuse("the path is too long");
  const Unix::endpoint endpoint(path);
  error_code ec;
  unix_.open(endpoint.protocol(), ec);
  if (!ec) unix_.bind(endpoint, ec);
  if (ec == asio::error::address_in_use && is_stale(endpoint)) {
    ::unlink(path.c_str());
    unix_.bind(endpoint, ec);
  }
  if (ec) throw refuse(ec.message());
  // Before listen(), so nobody connects while the mode is still the umask's.
  struct ::stat made = {};
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0 || !is_socket(path, made)) {
    throw refuse(error_code(errno, boost::system::system_category()).message());
  }
  unix_device_ = made.st_dev;
  unix_inode_ = made.st_ino;
  unix_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) throw refuse(ec.message());
}

void Listener::close() {
  error_code ignored;
  // Only what was made here: another server may have its own there by now.
  struct ::stat found = {};
  const std::string& path = shared_.options.unix_socket;
  if (unix_.is_open() && unix_inode_ != 0 && is_socket(path, found) &&
      found.st_dev == unix_device_ && found.st_ino == unix_inode_) {
    ::unlink(path.c_str());
  }
  tcp_.close(ignored);
  unix_.close(ignored);
  tcp_pause_.cancel();
  unix_pause_.cancel();
}

void Listener::start() {
  if (tcp_.is_open()) accept(tcp_, tcp_pause_);
  if (unix_.is_open()) accept(unix_, unix_pause_);
  const std::lock_guard lock(stop_mutex_);
  thread_ = std::thread([this] { context_.run(); });
}

void Listener::stop() {
  const std::lock_guard lock(stop_mutex_);
  if (!thread_.joinable()) return;
  asio::post(context_, [this] { close(); });
  thread_.join();
}

void Listener::reload_tls() {
  TlsContext context = read_tls_files(shared_.options);
  const std::lock_guard lock(tls_mutex_);
  tls_.swap(context);
}

TlsContext Listener::tls() {
  const std::lock_guard lock(tls_mutex_);
  return tls_;
}

Loop& Listener::emptiest() const {
  return **std::min_element(loops_.begin(), loops_.end(),
                            [](const auto& a, const auto& b) { return a->load() < b->load(); });
}

template <typename Protocol>
void Listener::accept(Acceptor<Protocol>& acceptor, Timer& pause) {
  using PeerSocket = asio::basic_stream_socket<Protocol, Executor>;
  Loop& loop = emptiest();
  acceptor.async_accept(loop.context().get_executor(),
                        [this, &acceptor, &pause, &loop](error_code ec, PeerSocket socket) {
                          if (!acceptor.is_open()) return;
                          if (ec) return failed(acceptor, pause, ec);
                          constexpr bool is_tcp = std::is_same_v<Protocol, Tcp>;
                          if constexpr (is_tcp) {
                            error_code ignored;
                            socket.set_option(Tcp::no_delay(true), ignored);
                          }
                          deal(loop, Socket(std::move(socket)), is_tcp ? tls() : nullptr);
                          accept(acceptor, pause);
                        });
}

// Out of descriptors, most likely: without a pause this would be a busy loop.
template <typename Protocol>
void Listener::failed(Acceptor<Protocol>& acceptor, Timer& pause, error_code ec) {
  const auto now = std::chrono::steady_clock::now();
  if (logged_at_ == std::chrono::steady_clock::time_point() || now - logged_at_ >= kLogPause) {
    logged_at_ = now;
    try {
      log::warn("connections wait outside", {{"problem", ec.message()}});
    } catch (const std::bad_alloc&) {
      // Memory may be what is missing.
    }
  }
  pause.expires_after(kPause);
  pause.async_wait([this, &acceptor, &pause](error_code aborted) {
    if (!aborted && acceptor.is_open()) accept(acceptor, pause);
  });
}

void Listener::deal(Loop& loop, Socket socket, TlsContext tls) {
  accepted_.add();
  const std::size_t open = shared_.open;
  const std::size_t limit = shared_.options.max_connections;
  const bool refused = open >= limit;
  if (refused) refused_.add();
  if (refused && (tls != nullptr || open >= limit + kRefusedAtOnce)) return;
  asio::post(loop.context(), [place = Place(loop), refused, socket = std::move(socket),
                              tls = std::move(tls)]() mutable {
    begin(std::move(place), std::move(socket), std::move(tls), refused);
  });
}

}  // namespace tally::runtime::http
