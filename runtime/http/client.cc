#include "runtime/http/client.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace tally::runtime::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;
using Unix = asio::local::stream_protocol;
// TCP and Unix sockets alike.
using Socket = asio::generic::stream_protocol::socket;
using TlsStream = asio::ssl::stream<Socket&>;

constexpr std::uint64_t kMaxAnswerBytes = 16 * 1024 * 1024;

struct Target {
  bool tls = false;
  std::string host;
  std::uint16_t port = 0;
  std::string host_header;
  std::string unix_path;  // instead of host and port
};

constexpr std::string_view kUnix = "unix:";
constexpr std::size_t kMaxUnixPathBytes = sizeof(sockaddr_un::sun_path) - 1;

Target parse_unix_url(const std::string& url) {
  Target target;
  target.unix_path = url.substr(kUnix.size());
  target.host_header = "localhost";
  if (!target.unix_path.empty() && target.unix_path.size() <= kMaxUnixPathBytes) return target;
  throw std::invalid_argument(
      fmt::format("\"{}\" is no base URL: unix: is followed by a path of 1 to {} bytes", url,
                  kMaxUnixPathBytes));
}

Target parse_base_url(const std::string& url) {
  if (url.starts_with(kUnix)) return parse_unix_url(url);
  Target target;
  target.tls = url.starts_with("https://");
  const auto refuse = [&] {
    return std::invalid_argument(
        fmt::format("\"{}\" is no base URL: give http://HOST[:PORT] or https://HOST[:PORT], no "
                    "path, or unix:PATH",
                    url));
  };
  if (!target.tls && !url.starts_with("http://")) throw refuse();
  std::string authority = url.substr(target.tls ? 8 : 7);
  if (authority.ends_with('/')) authority.pop_back();
  if (authority.empty() || authority.find_first_of("/?#@ \r\n") != std::string::npos) {
    throw refuse();
  }
  const bool has_port = authority.find(':') != std::string::npos && !authority.ends_with(']');
  const auto endpoint =
      parse_endpoint(has_port ? authority : authority + (target.tls ? ":443" : ":80"));
  if (!endpoint || endpoint->port == 0) throw refuse();
  target.host = endpoint->host;
  target.port = endpoint->port;
  target.host_header = authority;
  return target;
}

// Of all clients that live at a time: reading the system's certificates takes some 50 ms. Used as
// it was made, by any of their threads.
std::shared_ptr<asio::ssl::context> shared_tls_context() {
  static std::mutex mutex;
  static std::weak_ptr<asio::ssl::context> living;
  const std::scoped_lock lock(mutex);
  if (auto found = living.lock()) return found;
  auto made = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  made->set_default_verify_paths();
  made->set_verify_mode(asio::ssl::verify_peer);
  ::SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_2_VERSION);
  living = made;
  return made;
}

// nullopt when it can be sent; else what is wrong with it.
std::optional<std::string> unsendable(const Request& request) {
  if (!request.target.starts_with('/') ||
      request.target.find_first_of(" \r\n") != std::string::npos) {
    return "the request's target must begin with / and hold no space or line break";
  }
  for (const auto& [name, value] : request.headers) {
    if (name.find_first_of(": \r\n") != std::string::npos ||
        value.find_first_of("\r\n") != std::string::npos) {
      return fmt::format("header {} holds a line break or an impossible name", name);
    }
  }
  return std::nullopt;
}

}  // namespace

struct Client::Impl {
  using Message = beast::http::request<beast::http::string_body>;
  using Parser = beast::http::response_parser<beast::http::string_body>;
  using Deadline = std::chrono::steady_clock::time_point;

  explicit Impl(Target t) : target(std::move(t)) {
    if (target.tls) tls_context = shared_tls_context();
  }

  // Runs one asynchronous operation to its end or to the deadline; then it is cut by closing.
  template <typename Begin>
  error_code step(Deadline deadline, Begin begin) {
    std::optional<error_code> done;
    begin([&done](error_code ec, auto&&...) { done = ec; });
    context.restart();
    context.run_until(deadline);
    if (done) return *done;
    resolver.cancel();
    close();
    context.restart();
    context.run();
    return asio::error::timed_out;
  }

  void close() {
    error_code ignored;
    socket.close(ignored);
    connecting_tcp.close(ignored);
    connecting_unix.close(ignored);
    connected = false;
  }

  // Nothing may wait to be read between two requests: an end, an error or stray bytes all mean that
  // this connection must not carry another one.
  bool is_stale() {
    char byte = 0;
    const ssize_t seen =
        ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL);
    return seen >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }

  error_code connect(Deadline deadline) {
    tls.reset();
    close();
    buffer.clear();
    error_code ec = target.unix_path.empty() ? connect_tcp(deadline) : connect_unix(deadline);
    if (!ec && target.tls) ec = shake_hands(deadline);
    connected = !ec;
    return ec;
  }

  error_code connect_tcp(Deadline deadline) {
    tcp::resolver::results_type addresses;
    error_code ec = step(deadline, [&](auto done) {
      resolver.async_resolve(target.host, std::to_string(target.port),
                             [&addresses, done](error_code problem, auto results) mutable {
                               addresses = std::move(results);
                               done(problem);
                             });
    });
    if (ec) return ec;
    ec = step(deadline, [&](auto done) { asio::async_connect(connecting_tcp, addresses, done); });
    if (ec) return ec;
    error_code ignored;
    connecting_tcp.set_option(tcp::no_delay(true), ignored);
    socket = std::move(connecting_tcp);
    return {};
  }

  error_code connect_unix(Deadline deadline) {
    const error_code ec = step(deadline, [&](auto done) {
      connecting_unix.async_connect(Unix::endpoint(target.unix_path), done);
    });
    if (!ec) socket = std::move(connecting_unix);
    return ec;
  }

  error_code shake_hands(Deadline deadline) {
    tls.emplace(socket, *tls_context);
    error_code ignored;
    const bool numeric = !asio::ip::make_address(target.host, ignored).is_unspecified() && !ignored;
    if (!numeric) {
      // What SSL_set_tlsext_host_name does, without its old-style cast.
      ::SSL_ctrl(tls->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 target.host.data());
    }
    tls->set_verify_callback(asio::ssl::host_name_verification(target.host));
    return step(deadline,
                [&](auto done) { tls->async_handshake(asio::ssl::stream_base::client, done); });
  }

  // `sent_bytes` is what surely left; zero with an error means nothing did (plain TCP only).
  error_code write(Deadline deadline, const Message& message, std::size_t& sent_bytes) {
    return step(deadline, [&](auto done) {
      auto finish = [&sent_bytes, done](error_code ec, std::size_t count) mutable {
        sent_bytes = count;
        done(ec);
      };
      if (tls) {
        beast::http::async_write(*tls, message, finish);
      } else {
        beast::http::async_write(socket, message, finish);
      }
    });
  }

  error_code read(Deadline deadline, Parser& parser) {
    return step(deadline, [&](auto done) {
      if (tls) {
        beast::http::async_read(*tls, buffer, parser, done);
      } else {
        beast::http::async_read(socket, buffer, parser, done);
      }
    });
  }

  [[nodiscard]] Outcome not_answered(Fate fate, std::string_view doing, error_code ec) {
    close();
    const std::string& whom = target.unix_path.empty() ? target.host_header : target.unix_path;
    return {fate, {}, fmt::format("{} {}: {}", doing, whom, ec.message())};
  }

  Outcome exchange(const Message& message, Deadline deadline) {
    bool fresh = !connected || is_stale();
    for (;;) {
      if (fresh) {
        if (const error_code ec = connect(deadline)) {
          return not_answered(Fate::kNotSent, "connecting to", ec);
        }
      }
      std::size_t sent_bytes = 0;
      const error_code ec = write(deadline, message, sent_bytes);
      if (!ec) break;
      // The server closed the idle connection in this very moment and not one byte got out.
      const bool untouched =
          sent_bytes == 0 && !fresh && !target.tls && ec != asio::error::timed_out;
      if (!untouched) return not_answered(Fate::kUnknown, "sending to", ec);
      fresh = true;
    }
    Parser parser;
    parser.body_limit(kMaxAnswerBytes);
    parser.skip(message.method() == beast::http::verb::head);
    if (const error_code ec = read(deadline, parser)) {
      return not_answered(Fate::kUnknown, "waiting for the answer of", ec);
    }
    return take_answer(parser.release());
  }

  Outcome take_answer(beast::http::response<beast::http::string_body> message) {
    Outcome outcome;
    outcome.fate = Fate::kAnswered;
    outcome.response.status = static_cast<int>(message.result_int());
    for (const auto& field : message) {
      outcome.response.headers.add(field.name_string(), field.value());
    }
    if (!message.keep_alive()) close();
    outcome.response.body = std::move(message.body());
    return outcome;
  }

  Target target;
  asio::io_context context{1};
  std::shared_ptr<asio::ssl::context> tls_context;  // nullptr: no TLS
  tcp::resolver resolver{context};
  tcp::socket connecting_tcp{context};
  Unix::socket connecting_unix{context};
  Socket socket{context};
  std::optional<TlsStream> tls;
  beast::flat_buffer buffer;
  bool connected = false;
};

Client::Client(const std::string& base_url)
    : impl_(std::make_unique<Impl>(parse_base_url(base_url))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Outcome Client::send(const Request& request, std::chrono::milliseconds timeout) {
  if (auto problem = unsendable(request)) return {Fate::kNotSent, {}, std::move(*problem)};
  Impl::Message message;
  message.version(11);
  message.method_string(request.method);
  message.target(request.target);
  message.set(beast::http::field::user_agent, "tally/0.1");
  for (const auto& [name, value] : request.headers) message.set(name, value);
  message.set(beast::http::field::host, impl_->target.host_header);
  message.body() = request.body;
  message.prepare_payload();
  return impl_->exchange(message, std::chrono::steady_clock::now() + timeout);
}

}  // namespace tally::runtime::http
