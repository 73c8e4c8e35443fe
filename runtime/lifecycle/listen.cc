#include "runtime/lifecycle/listen.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace tally::runtime::lifecycle {

http::ServerOptions listen_options(const std::string& listen, const std::string& token) {
  http::ServerOptions options;
  options.bearer_token = token;
  const std::size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? listen : listen.substr(colon + 1);
  if (colon != std::string::npos) {
    options.address = listen.substr(0, colon);
    if (options.address.starts_with('[') && options.address.ends_with(']')) {
      options.address = options.address.substr(1, options.address.size() - 2);
    }
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (error != std::errc{} || end != port.data() + port.size() || options.address.empty()) {
    throw std::invalid_argument("--listen is \"" + listen +
                                "\": it takes HOST:PORT, as in 127.0.0.1:9464");
  }
  return options;
}

void write_port_file(const std::string& path, std::uint16_t port) {
  if (path.empty()) return;
  const std::string unfinished = path + ".new";
  std::ofstream(unfinished) << port << '\n';
  std::error_code error;
  std::filesystem::rename(unfinished, path, error);
  if (error) throw std::runtime_error("cannot write --port-file " + path + ": " + error.message());
}

}  // namespace tally::runtime::lifecycle
