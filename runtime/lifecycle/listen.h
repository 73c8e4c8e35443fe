// What every service's --listen, --listen-token and --port-file mean.
#pragma once

#include "runtime/http/server.h"

#include <cstdint>
#include <string>

namespace tally::runtime::lifecycle {

// "HOST:PORT", "[IPv6]:PORT" or "PORT" (loopback). Throws std::invalid_argument that names the
// text.
[[nodiscard]] http::ServerOptions listen_options(const std::string& listen,
                                                 const std::string& token);

// Writes the port, whole or not at all (a rename). "" writes nothing. Throws std::runtime_error.
void write_port_file(const std::string& path, std::uint16_t port);

}  // namespace tally::runtime::lifecycle
