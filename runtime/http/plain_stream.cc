#include "runtime/http/stream_internal.h"
#include "runtime/http/streams_internal.h"

namespace tally::runtime::http {
namespace {

class PlainConnection final : public StreamConnection<Socket> {
 public:
  PlainConnection(Place place, Socket socket)
      : StreamConnection(std::move(place), std::move(socket)) {
    begin_phase(Phase::kServing, loop().shared().options.idle_timeout);
  }

 private:
  Awaitable<bool> shake_hands() override { co_return true; }

  Awaitable<void> say_goodbye() override {
    error_code ignored;
    socket().shutdown(asio::socket_base::shutdown_send, ignored);
    co_return;
  }

  Socket& socket() override { return stream(); }

  // Most answers fit the socket's buffer: no operation to start, and none to end.
  std::size_t write_now(std::string_view bytes) override {
    error_code ec;
    const std::size_t sent = stream().write_some(asio::buffer(bytes.data(), bytes.size()), ec);
    return ec ? 0 : sent;
  }
};

}  // namespace

std::shared_ptr<Connection> make_plain_connection(Place place, Socket socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  return std::make_shared<PlainConnection>(std::move(place), std::move(socket));
}

}  // namespace tally::runtime::http
