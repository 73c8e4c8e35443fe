#include "runtime/http/stream_internal.h"
#include "runtime/http/streams_internal.h"

#include <fmt/format.h>

#include <boost/asio/ssl/stream.hpp>
#include <new>
#include <stdexcept>

namespace tally::runtime::http {
namespace {

using TlsStream = asio::ssl::stream<Socket>;

class TlsConnection final : public StreamConnection<TlsStream> {
 public:
  TlsConnection(Place place, Socket socket, TlsContext tls)
      : StreamConnection(std::move(place), std::move(socket), *tls), tls_(std::move(tls)) {
    begin_phase(Phase::kHandshake, loop().shared().options.handshake_timeout);
  }

 private:
  Awaitable<bool> shake_hands() override {
    const auto [ec] = co_await stream().async_handshake(asio::ssl::stream_base::server, kAwait);
    if (is_closed()) co_return false;
    if (ec) {
      loop().counters.tls_failures.add();
      co_return false;
    }
    begin_phase(Phase::kServing, loop().shared().options.idle_timeout);
    co_return true;
  }

  // The other side need not answer the end of TLS; that of TCP is what is waited for.
  Awaitable<void> say_goodbye() override {
    co_await stream().async_shutdown(kAwait);
    error_code ignored;
    socket().shutdown(asio::socket_base::shutdown_send, ignored);
  }

  Socket& socket() override { return stream().next_layer(); }

  std::size_t write_now(std::string_view) override { return 0; }

  TlsContext tls_;  // as long as the stream that was made from it
};

}  // namespace

std::shared_ptr<Connection> make_tls_connection(Place place, Socket socket, TlsContext tls) {
  try {
    return std::make_shared<TlsConnection>(std::move(place), std::move(socket), std::move(tls));
  } catch (const boost::system::system_error&) {
    throw std::bad_alloc();  // that is why OpenSSL makes no connection
  }
}

TlsContext read_tls_files(const ServerOptions& options) {
  const auto require = [](const error_code& ec, std::string_view what, const std::string& file) {
    if (!ec) return;
    throw WrongSetting(fmt::format("cannot use {} {}: {}; give PEM files that belong together",
                                   what, file, ec.message()));
  };
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code ec;
  context->use_certificate_chain_file(options.tls_certificate_file, ec);
  require(ec, "the certificate", options.tls_certificate_file);
  context->use_private_key_file(options.tls_key_file, asio::ssl::context::pem, ec);
  require(ec, "the key", options.tls_key_file);
  SSL_CTX* native = context->native_handle();
  if (::SSL_CTX_check_private_key(native) != 1) {
    throw WrongSetting(fmt::format("the key {} does not belong to the certificate {}",
                                   options.tls_key_file, options.tls_certificate_file));
  }
  ::SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  ::SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Idle connections keep no buffers.
  ::SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

}  // namespace tally::runtime::http
