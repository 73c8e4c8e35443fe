#include "tests/conformance/relay.h"

#include "core/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace tally::conformance {

namespace {

sockaddr_in address_of(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  TALLY_CHECK(::inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1, "{} is no IPv4 address",
              host);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void no_delay(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

Relay::Relay(const std::string& host, std::uint16_t port) : host_(host), server_port_(port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = address_of("127.0.0.1", 0);
  TALLY_CHECK(::bind(listener_, generic(address), sizeof(address)) == 0);
  TALLY_CHECK(::listen(listener_, 16) == 0);
  socklen_t size = sizeof(address);
  TALLY_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  TALLY_CHECK(::pipe2(wake_, O_CLOEXEC) == 0);
  thread_ = std::thread([this] { serve(); });
}

Relay::~Relay() {
  ending_ = true;
  TALLY_CHECK(::write(wake_[1], "x", 1) == 1);
  thread_.join();
  cut();
  for (const int orphan : orphans_) ::close(orphan);
  ::close(listener_);
  ::close(wake_[0]);
  ::close(wake_[1]);
}

void Relay::cut() {
  const std::lock_guard lock(mutex_);
  for (const Pair& pair : pairs_) {
    ::close(pair.client);
    ::close(pair.server);
  }
  pairs_.clear();
}

void Relay::cut_client() {
  const std::lock_guard lock(mutex_);
  for (const Pair& pair : pairs_) {
    ::close(pair.client);
    orphans_.push_back(pair.server);
  }
  pairs_.clear();
}

void Relay::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = address_of(host_, server_port_);
  if (::connect(server, generic(address), sizeof(address)) != 0) {
    ::close(client);
    ::close(server);
    return;
  }
  no_delay(client);
  no_delay(server);
  const std::lock_guard lock(mutex_);
  pairs_.push_back({client, server});
}

// What can be read now goes to the other side; false: one of the two has closed.
bool Relay::pass(int from, int to) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  for (ssize_t at = 0; at < got;) {
    const ssize_t sent =
        ::send(to, buffer.data() + at, static_cast<std::size_t>(got - at), MSG_NOSIGNAL);
    if (sent < 0) return false;
    at += sent;
  }
  return true;
}

void Relay::serve() {
  while (!ending_) {
    std::vector<pollfd> sockets = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    {
      const std::lock_guard lock(mutex_);
      for (const Pair& pair : pairs_) {
        sockets.push_back({pair.client, POLLIN, 0});
        sockets.push_back({pair.server, POLLIN, 0});
      }
    }
    // A cut in the middle of this closes sockets that are waited for: looked at again soon.
    ::poll(sockets.data(), sockets.size(), 20);
    if ((sockets[1].revents & POLLIN) != 0) accept_one();
    const std::lock_guard lock(mutex_);
    for (auto pair = pairs_.begin(); pair != pairs_.end();) {
      if (pass(pair->client, pair->server) && pass(pair->server, pair->client)) {
        ++pair;
        continue;
      }
      ::close(pair->client);
      ::close(pair->server);
      pair = pairs_.erase(pair);
    }
  }
}

}  // namespace tally::conformance
