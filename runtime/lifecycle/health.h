// /healthz (the process lives), /readyz (it makes progress; else 503 and the reasons) and /metrics.
#pragma once

#include "runtime/http/server.h"
#include "runtime/metrics/metrics.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tally::runtime::lifecycle {

// Reasons why the service is not ready, each a sentence with what to do; empty when ready. Any
// thread.
using Readiness = std::function<std::vector<std::string>()>;

// The answer to one of the three paths; 404 and 405 to all else.
[[nodiscard]] http::Response health_answer(const http::Request& request,
                                           const metrics::Registry& registry,
                                           const Readiness& readiness);

// Serves the three paths on its own thread until destroyed. /readyz answers
// {"ready":bool,"reasons":[…]}.
class HealthServer {
 public:
  HealthServer(const http::ServerOptions& options, metrics::Registry& registry,
               Readiness readiness);
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

 private:
  http::Server server_;
};

}  // namespace tally::runtime::lifecycle
