// A connection over one kind of stream: its reader, a coroutine, and its writes. For the sources of
// this folder only.
#pragma once

#include "runtime/http/connection_internal.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <new>

namespace tally::runtime::http {

// TCP and Unix sockets alike.
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

template <typename T>
using Awaitable = asio::awaitable<T, Executor>;
// Errors come as values.
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

// `Stream` has the two ways in and out of asio::ssl::stream; Lower is the socket under it.
// Derived says how to shake hands, write without waiting and say good-bye.
template <typename Stream>
class StreamConnection : public Connection {
 public:
  template <typename... Arguments>
  explicit StreamConnection(Place place, Arguments&&... arguments)
      : Connection(std::move(place)),
        stream_(std::forward<Arguments>(arguments)...),
        wake_(loop().context()) {}

  void start() final {
    auto self = std::static_pointer_cast<StreamConnection>(shared_from_this());
    asio::co_spawn(stream_.get_executor(), run(std::move(self)), asio::detached);
  }

 protected:
  // False when the connection is of no use.
  virtual Awaitable<bool> shake_hands() = 0;
  // Tells the other side that nothing more comes.
  virtual Awaitable<void> say_goodbye() = 0;
  [[nodiscard]] virtual Socket& socket() = 0;
  [[nodiscard]] Stream& stream() { return stream_; }

 private:
  static constexpr std::chrono::milliseconds kLinger{2'000};
  static constexpr std::size_t kMaxIgnoredBytes = 4 * 1024 * 1024;

  static Awaitable<void> run(std::shared_ptr<StreamConnection> self) {
    try {
      const bool is_useful = co_await self->shake_hands();
      if (is_useful && !self->is_closed()) {
        co_await self->serve();
        if (!self->is_closed() && !self->peer_is_done()) co_await self->linger();
      }
    } catch (const std::bad_alloc&) {
      // Nothing can be said without memory: the connection ends.
      self->loop().counters.connections_failed.add();
    }
    self->close();
  }

  Awaitable<void> serve() {
    flush();  // of a connection that is refused
    while (wants_bytes()) {
      if (is_blocked()) {
        co_await sleep();
        process();
        continue;
      }
      const std::span<char> space = free_space();
      is_reading_ = true;
      const auto [ec, bytes] =
          co_await stream_.async_read_some(asio::buffer(space.data(), space.size()), kAwait);
      is_reading_ = false;
      if (ec) {
        read_failed(ec);
      } else if (wants_bytes()) {
        received(bytes);
      }
    }
    while (!is_closed() && !is_finished()) co_await sleep();
  }

  // Closing with unread bytes would reset the connection and take the answer with it, so what the
  // other side still sends is read and thrown away, within bounds.
  Awaitable<void> linger() {
    begin_phase(Phase::kLingering, kLinger);
    co_await say_goodbye();
    std::size_t ignored_bytes = 0;
    while (!is_closed() && ignored_bytes < kMaxIgnoredBytes) {
      const std::span<char> space = free_space();
      const auto [ec, bytes] =
          co_await socket().async_read_some(asio::buffer(space.data(), space.size()), kAwait);
      if (ec) break;
      ignored_bytes += bytes;
    }
  }

  // Until cancel_read() or close().
  Awaitable<void> sleep() {
    is_sleeping_ = true;
    wake_.expires_at(std::chrono::steady_clock::time_point::max());
    co_await wake_.async_wait(kAwait);
    is_sleeping_ = false;
  }

  void write_rest(std::string_view bytes) final {
    asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()),
                      [self = shared_from_this(), this](error_code ec, std::size_t) {
                        if (!is_closed()) written(ec);
                      });
  }

  void cancel_read() final {
    error_code ignored;
    if (is_reading_) socket().cancel(ignored);
    if (is_sleeping_) wake_.cancel();
  }

  void close_stream() final {
    error_code ignored;
    socket().close(ignored);
    wake_.cancel();
  }

  void reset_on_close() final {
    error_code ignored;
    socket().set_option(asio::socket_base::linger(true, 0), ignored);
  }

  Stream stream_;
  Timer wake_;
  bool is_reading_ = false;
  bool is_sleeping_ = false;
};

}  // namespace tally::runtime::http
