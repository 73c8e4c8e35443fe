// Makes connections of the two kinds of stream, which are slow to compile. For the sources of this
// folder only.
#pragma once

#include "runtime/http/loop_internal.h"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

namespace tally::runtime::http {

using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using TlsContext = std::shared_ptr<asio::ssl::context>;

// In the loop's own thread; the socket belongs to its context. Not started yet. Throw
// std::bad_alloc: then there is none.
[[nodiscard]] std::shared_ptr<Connection> make_plain_connection(Place place, Socket socket);
[[nodiscard]] std::shared_ptr<Connection> make_tls_connection(Place place, Socket socket,
                                                              TlsContext tls);

// Throws std::runtime_error that names the file and what to do. Any thread.
[[nodiscard]] TlsContext read_tls_files(const ServerOptions& options);

}  // namespace tally::runtime::http
