#include "tests/support/poster/connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>

namespace tally::drill {
namespace {

constexpr timeval kPatience{.tv_sec = 60, .tv_usec = 0};
constexpr std::string_view kEndOfHead = "\r\n\r\n";

// The value of a header; "" where it is absent. `head` is in lower case.
std::string_view header(std::string_view head, std::string_view name) {
  const std::string line = fmt::format("\r\n{}:", name);
  const std::size_t at = head.find(line);
  if (at == std::string_view::npos) return "";
  std::string_view value = head.substr(at + line.size());
  value = value.substr(0, value.find("\r\n"));
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

std::size_t number(std::string_view text) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

bool Connection::open(std::uint16_t port) {
  close();
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return false;
  const int yes = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close();
  }
  return is_open();
}

void Connection::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  received_.clear();
}

bool Connection::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Connection::receive() {
  std::array<char, 16'384> room;
  const ssize_t got = ::recv(socket_, room.data(), room.size(), 0);
  if (got <= 0) return false;
  received_.append(room.data(), static_cast<std::size_t>(got));
  return true;
}

std::optional<Answer> Connection::post(std::string_view path, std::string_view content_type,
                                       std::string_view body) {
  const std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n", path,
      content_type, body.size());
  std::optional<Answer> answer;
  if (send_all(head) && send_all(body)) answer = read_answer();
  if (!answer) close();
  return answer;
}

std::optional<Answer> Connection::read_answer() {
  std::size_t end = 0;
  while ((end = received_.find(kEndOfHead)) == std::string::npos) {
    if (!receive()) return std::nullopt;
  }
  std::string head = received_.substr(0, end + 2);
  std::transform(head.begin(), head.end(), head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t body_at = end + kEndOfHead.size();
  const std::size_t size = number(header(head, "content-length"));
  while (received_.size() < body_at + size) {
    if (!receive()) return std::nullopt;
  }
  Answer answer{.status = static_cast<int>(number(std::string_view(head).substr(9, 3))),
                .body = received_.substr(body_at, size)};
  received_.erase(0, body_at + size);
  if (header(head, "connection") == "close") close();
  return answer;
}

}  // namespace tally::drill
