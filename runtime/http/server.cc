#include "runtime/http/server.h"

#include "core/check.h"
#include "runtime/http/listener_internal.h"

namespace tally::runtime::http {

struct Server::Impl {
  Shared shared;
  std::vector<std::unique_ptr<Loop>> loops;
  std::unique_ptr<Listener> listener;

  Impl(const ServerOptions& options, Handler handler, AsyncHandler async_handler) {
    TALLY_CHECK(options.threads >= 1 && options.max_header_bytes > 0, "threads {}, header {}",
                options.threads, options.max_header_bytes);
    TALLY_CHECK(options.max_pipelined >= 1 && options.max_pipelined <= 64, "pipelined {}",
                options.max_pipelined);
    TALLY_CHECK(options.max_bytes_receiving >= options.max_body_bytes, "receiving {}, body {}",
                options.max_bytes_receiving, options.max_body_bytes);
    shared.options = options;
    shared.handler = std::move(handler);
    shared.async_handler = std::move(async_handler);
    for (int i = 0; i < options.threads; ++i) loops.push_back(std::make_unique<Loop>(shared));
    listener = std::make_unique<Listener>(shared, loops);
    for (const auto& loop : loops) loop->start();
    listener->start();
  }

  ~Impl() {
    listener->stop();
    for (const auto& loop : loops) loop->stop();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
};

Server::Server(const ServerOptions& options, Handler handler)
    : impl_(std::make_unique<Impl>(options, std::move(handler), nullptr)) {}

Server::Server(const ServerOptions& options, AsyncHandler handler)
    : impl_(std::make_unique<Impl>(options, nullptr, std::move(handler))) {}

Server::~Server() = default;

std::uint16_t Server::port() const { return impl_->listener->port(); }

ServerStats Server::stats() const {
  ServerStats stats;
  stats.connections_open = impl_->shared.open;
  stats.bytes_receiving = impl_->shared.receiving.value();
  stats.connections_accepted = impl_->listener->accepted();
  stats.connections_refused = impl_->listener->refused();
  for (const auto& loop : impl_->loops) {
    const LoopCounters& counters = loop->counters;
    stats.connections_failed += counters.connections_failed.value();
    stats.requests += counters.requests.value();
    for (std::size_t i = 0; i < stats.responses.size(); ++i) {
      stats.responses[i] += counters.responses[i].value();
    }
    stats.request_timeouts += counters.request_timeouts.value();
    stats.idle_timeouts += counters.idle_timeouts.value();
    stats.write_timeouts += counters.write_timeouts.value();
    stats.tls_failures += counters.tls_failures.value();
  }
  return stats;
}

void Server::reload_tls() { impl_->listener->reload_tls(); }

void Server::stop_accepting() { impl_->listener->stop(); }

bool Server::drain(std::chrono::steady_clock::time_point deadline) {
  stop_accepting();
  for (const auto& loop : impl_->loops) loop->drain();
  std::unique_lock lock(impl_->shared.mutex);
  return impl_->shared.none_is_open.wait_until(lock, deadline,
                                               [this] { return impl_->shared.open == 0; });
}

}  // namespace tally::runtime::http
