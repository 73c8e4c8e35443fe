#include "runtime/lifecycle/health.h"

#include <nlohmann/json.hpp>

namespace tally::runtime::lifecycle {
namespace {

using nlohmann::json;

http::Response json_response(int status, const json& body) {
  http::Response response;
  response.status = status;
  response.headers.set("Content-Type", "application/json");
  // Reasons may quote foreign bytes; an answer that cannot be encoded would hide them all.
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

http::Response ready_response(const Readiness& readiness) {
  std::vector<std::string> reasons;
  try {
    reasons = readiness();
  } catch (const std::exception& problem) {
    reasons = {std::string("the readiness check itself failed: ") + problem.what()};
  }
  const json body = {{"ready", reasons.empty()}, {"reasons", reasons}};
  return json_response(reasons.empty() ? 200 : 503, body);
}

}  // namespace

http::Response health_answer(const http::Request& request, const metrics::Registry& registry,
                             const Readiness& readiness) {
  const std::string_view path = request.path();
  const bool known = path == "/healthz" || path == "/readyz" || path == "/metrics";
  if (!known) {
    return json_response(404,
                         {{"error", "no such path; there are /healthz, /readyz and /metrics"}});
  }
  if (request.method != "GET" && request.method != "HEAD") {
    http::Response refused = json_response(405, {{"error", "only GET and HEAD are answered here"}});
    refused.headers.set("Allow", "GET, HEAD");
    return refused;
  }
  if (path == "/healthz") return json_response(200, {{"alive", true}});
  if (path == "/readyz") return ready_response(readiness);
  http::Response response;
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = registry.exposition();
  return response;
}

HealthServer::HealthServer(const http::ServerOptions& options, metrics::Registry& registry,
                           Readiness readiness)
    : server_(options, [&registry, readiness = std::move(readiness)](const http::Request& request) {
        return health_answer(request, registry, readiness);
      }) {}

}  // namespace tally::runtime::lifecycle
