#include "runtime/http/server.h"

#include "core/check.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tally::runtime::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kLinger{2'000};
constexpr std::size_t kDrainBytes = 4 * 1024 * 1024;

Response problem(int status, std::string_view text) {
  Response response;
  response.status = status;
  response.headers["Content-Type"] = "application/json";
  response.body = fmt::format("{{\"error\":\"{}\"}}\n", text);
  return response;
}

// What all connections of one server share; outlives them.
struct Shared {
  ServerOptions options;
  Server::Handler handler;
  std::atomic<std::size_t> connections = 0;
};

// One connection: wait for a byte, read a request, answer it, again. Everything of it runs on its
// socket's strand; pending operations hold it alive.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared, tcp::socket socket)
      : shared_(shared), socket_(std::move(socket)), timer_(socket_.get_executor()) {
    ++shared_.connections;
  }
  ~Session() { --shared_.connections; }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start() {
    asio::dispatch(socket_.get_executor(), [self = shared_from_this()] { self->await_request(); });
  }
  void refuse(Response response) {
    asio::dispatch(socket_.get_executor(),
                   [self = shared_from_this(), response = std::move(response)]() mutable {
                     self->keep_alive_ = false;
                     self->answer(std::move(response));
                   });
  }

 private:
  void await_request() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_.options.max_header_bytes));
    parser_->body_limit(shared_.options.max_body_bytes);
    if (buffer_.size() > 0) return read_header();
    guard(shared_.options.idle_timeout);
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code ec) {
      if (!self->finish_guard() && !ec) self->read_header();
    });
  }

  void read_header() {
    guard(shared_.options.read_timeout);
    beast::http::async_read_header(socket_, buffer_, *parser_,
                                   [self = shared_from_this()](error_code ec, std::size_t) {
                                     if (self->failed(ec)) return;
                                     self->on_header();
                                   });
  }

  void on_header() {
    if (!authorised()) {
      finish_guard();
      keep_alive_ = false;
      Response refused = problem(401, "give the token as Authorization: Bearer TOKEN");
      refused.headers["WWW-Authenticate"] = "Bearer";
      return answer(std::move(refused));
    }
    if (beast::iequals(parser_->get()[beast::http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(socket_, asio::buffer(kContinue),
                        [self = shared_from_this()](error_code ec, std::size_t) {
                          if (!self->failed(ec)) self->read_body();
                        });
      return;
    }
    read_body();
  }

  void read_body() {
    beast::http::async_read(socket_, buffer_, *parser_,
                            [self = shared_from_this()](error_code ec, std::size_t) {
                              if (self->failed(ec)) return;
                              self->finish_guard();
                              self->handle();
                            });
  }

  void handle() {
    auto message = parser_->release();
    keep_alive_ = message.keep_alive();
    head_only_ = message.method() == beast::http::verb::head;
    Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) {
      request.headers[std::string(field.name_string())] = std::string(field.value());
    }
    request.body = std::move(message.body());
    Response response;
    try {
      response = shared_.handler(request);
    } catch (const std::exception& failure) {
      log::error(
          "http handler failed",
          {{"method", request.method}, {"path", request.path()}, {"problem", failure.what()}});
      response = problem(500, "the server failed; its log says why");
    }
    if (response.delay.count() <= 0) return answer(std::move(response));
    timer_.expires_after(response.delay);
    timer_.async_wait(
        [self = shared_from_this(), response = std::move(response)](error_code ec) mutable {
          if (!ec) self->answer(std::move(response));
        });
  }

  void answer(Response response) {
    if (response.drop_connection) {
      error_code ignored;
      socket_.close(ignored);
      return;
    }
    auto& message = message_.emplace();
    message.version(11);
    message.result(static_cast<unsigned>(response.status));
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive_);
    message.content_length(response.body.size());
    if (!head_only_) message.body() = std::move(response.body);
    guard(shared_.options.read_timeout);
    beast::http::async_write(socket_, message,
                             [self = shared_from_this()](error_code ec, std::size_t) {
                               if (self->finish_guard() || ec) return;
                               if (self->keep_alive_) return self->await_request();
                               self->linger();
                             });
  }

  // Closing with unread bytes would reset the connection and take the answer with it, so what the
  // other side still sends is read and thrown away, within bounds.
  void linger() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    guard(kLinger);
    buffer_.clear();
    drain();
  }

  void drain() {
    socket_.async_read_some(buffer_.prepare(16 * 1024),
                            [self = shared_from_this()](error_code ec, std::size_t count) {
                              self->drained_bytes_ += count;
                              if (ec || self->drained_bytes_ > kDrainBytes) {
                                self->finish_guard();
                                return;
                              }
                              self->drain();
                            });
  }

  // True when the request cannot be read: it is answered here, or the connection left to die.
  bool failed(error_code ec) {
    if (!ec) return false;
    const bool timed_out = finish_guard();
    keep_alive_ = false;
    using beast::http::error;
    if (timed_out) {
      answer(problem(408, "the request did not arrive in time"));
    } else if (ec == error::body_limit) {
      answer(
          problem(413, fmt::format("the body is over {} bytes", shared_.options.max_body_bytes)));
    } else if (ec == error::header_limit || ec == error::buffer_overflow) {
      answer(problem(
          431, fmt::format("the headers are over {} bytes", shared_.options.max_header_bytes)));
    } else if (ec.category() == make_error_code(error::bad_method).category() &&
               ec != error::end_of_stream && ec != error::partial_message) {
      answer(problem(400, "this is not an HTTP/1.1 request"));
    }
    return true;
  }

  [[nodiscard]] bool authorised() const {
    const std::string& token = shared_.options.bearer_token;
    if (token.empty()) return true;
    const auto field = parser_->get()[beast::http::field::authorization];
    const std::string_view given(field.data(), field.size());
    static constexpr std::string_view kScheme = "Bearer ";
    return given.size() > kScheme.size() &&
           beast::iequals(field.substr(0, kScheme.size()), "Bearer ") &&
           equal_in_constant_time(given.substr(kScheme.size()), token);
  }

  // Cancels the socket's operation when it takes too long.
  void guard(std::chrono::milliseconds time) {
    timed_out_ = false;
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), round = ++guard_round_](error_code ec) {
      if (ec || round != self->guard_round_) return;
      self->timed_out_ = true;
      error_code ignored;
      self->socket_.cancel(ignored);
    });
  }
  bool finish_guard() {
    ++guard_round_;
    timer_.cancel();
    return std::exchange(timed_out_, false);
  }

  Shared& shared_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  beast::flat_buffer buffer_;
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  std::optional<beast::http::response<beast::http::string_body>> message_;
  std::uint64_t guard_round_ = 0;
  std::size_t drained_bytes_ = 0;
  bool timed_out_ = false;
  bool keep_alive_ = true;
  bool head_only_ = false;
};

tcp::endpoint resolve(const ServerOptions& options) {
  error_code ec;
  const std::string host = options.address == "localhost" ? "127.0.0.1" : options.address;
  const auto address = asio::ip::make_address(host, ec);
  if (ec) {
    throw std::runtime_error(fmt::format(
        "cannot listen on {}: give a numeric IP address or localhost", options.address));
  }
  return {address, options.port};
}

}  // namespace

struct Server::Impl {
  Shared shared;
  asio::io_context context;
  tcp::acceptor acceptor{context};
  asio::steady_timer retry{context};
  std::vector<std::thread> threads;

  void listen() {
    const tcp::endpoint endpoint = resolve(shared.options);
    error_code ec;
    acceptor.open(endpoint.protocol(), ec);
    if (!ec) acceptor.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec) acceptor.bind(endpoint, ec);
    if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) {
      throw std::runtime_error(fmt::format("cannot listen on {}:{}: {}; choose another port",
                                           shared.options.address, shared.options.port,
                                           ec.message()));
    }
  }

  void accept() {
    acceptor.async_accept(asio::make_strand(context), [this](error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (ec) {
        // Out of descriptors, most likely: without a pause this would be a busy loop.
        retry.expires_after(std::chrono::milliseconds(100));
        retry.async_wait([this](error_code aborted) {
          if (!aborted) accept();
        });
        return;
      }
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      const bool full = shared.connections >= shared.options.max_connections;
      auto session = std::make_shared<Session>(shared, std::move(socket));
      if (full) {
        session->refuse(problem(503, "too many connections; try again later"));
      } else {
        session->start();
      }
      accept();
    });
  }
};

Server::Server(const ServerOptions& options, Handler handler) : impl_(std::make_unique<Impl>()) {
  TALLY_CHECK(options.threads >= 1 && options.max_header_bytes > 0, "threads {}, header {}",
              options.threads, options.max_header_bytes);
  impl_->shared.options = options;
  impl_->shared.handler = std::move(handler);
  impl_->listen();
  impl_->accept();
  for (int i = 0; i < options.threads; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->context.run(); });
  }
}

Server::~Server() {
  impl_->context.stop();
  for (std::thread& thread : impl_->threads) thread.join();
}

std::uint16_t Server::port() const { return impl_->acceptor.local_endpoint().port(); }

}  // namespace tally::runtime::http
