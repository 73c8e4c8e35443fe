// Endpoints that are told of events, as Stripe has them and as the sandbox does.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;
namespace http = runtime::http;

constexpr std::string_view kEndpoints = "/v1/webhook_endpoints";
constexpr std::int64_t kLongestOverlap = kDaySeconds;

Reply not_local() {
  return declined("Invalid URL: this sandbox sends to http://127.0.0.1, localhost and [::1] only.",
                  "url_invalid");
}

// Without its secret, which is shown once, when it is made.
json without_secret(json endpoint) {
  endpoint.erase("secret");
  return endpoint;
}

}  // namespace

// nullopt: another's.
std::optional<Reply> Sandbox::route_webhooks(const Call& call) {
  std::string_view rest;
  if (call.is("POST", kEndpoints)) {
    if (auto refused = call.form.check({{"url", true},
                                        {"enabled_events[]", true},
                                        {"api_version"},
                                        {"description"},
                                        {"metadata[*]", false, 500},
                                        {"expand[]"}})) {
      return *refused;
    }
    const auto version = call.form.find("api_version");
    if (version && !is_version(*version)) {
      return invalid_request("Invalid Stripe API version: " + *version, "", "api_version");
    }
    const std::string url = call.form.get("url");
    if (!is_local_url(url)) return not_local();
    return Reply{
        200, webhooks_.add_endpoint(url, call.form.list_of("enabled_events"),
                                    version ? json(*version) : json(nullptr), "", false, now())};
  }
  if (call.is("GET", kEndpoints)) {
    return listed(call, "webhook_endpoint", {}, {}, [](const json& endpoint) {
      return endpoint["status"] != "deleted" && !endpoint["sandbox"]["thin"].get<bool>();
    });
  }
  if (!call.is_below("/v1/webhook_endpoints/", rest)) return std::nullopt;
  const json* endpoint = documents_.find("webhook_endpoint", rest);
  if (endpoint == nullptr || (*endpoint)["status"] == "deleted") {
    return no_such("webhook endpoint", rest);
  }
  if (auto refused = call.form.check({{"expand[]"}})) return *refused;
  if (call.method == "GET") return Reply{200, without_secret(*endpoint)};
  if (call.method != "DELETE") return std::nullopt;
  webhooks_.remove(std::string(rest));
  return Reply{200, {{"id", rest}, {"object", "webhook_endpoint"}, {"deleted", true}}};
}

// POST /sandbox/webhook_endpoints {"url", "enabled_events", "secret", "thin", "api_version"}, all
// but the url with a default · POST /sandbox/webhook_secret {"endpoint", "secret", "overlap_s"} ·
// GET, POST, DELETE /sandbox/webhook_faults.
Reply Sandbox::webhooks_call(const http::Request& request) {
  const std::string_view path = request.path();
  if (path == "/sandbox/webhook_faults") {
    if (request.method == "DELETE") webhooks_.clear_faults();
    if (request.method == "POST") {
      if (auto refused = webhooks_.add_faults(json::parse(request.body))) return *refused;
    }
    return {200, webhooks_.shown_faults()};
  }
  if (request.method == "GET") {
    json all = json::array();
    for (const auto& [id, endpoint] : documents_.all("webhook_endpoint")) all.push_back(endpoint);
    return {200, {{"webhook_endpoints", std::move(all)}}};
  }
  const json wanted = json::parse(request.body);
  if (path == "/sandbox/webhook_secret") {
    const std::string id = wanted.at("endpoint");
    const std::int64_t overlap = wanted.value("overlap_s", kLongestOverlap);
    if (documents_.find("webhook_endpoint", id) == nullptr) return no_such("webhook endpoint", id);
    if (overlap < 0 || overlap > kLongestOverlap) {
      return invalid_request("an old secret goes on signing for at most 24 hours", "", "overlap_s");
    }
    return {200,
            {{"endpoint", id},
             {"secret", webhooks_.roll(id, wanted.value("secret", ""), overlap, now())}}};
  }
  const std::string url = wanted.at("url");
  const json version = wanted.value("api_version", json(nullptr));
  if (!is_local_url(url)) return not_local();
  if (!version.is_null() && !is_version(version.get<std::string>())) {
    return invalid_request("no version of Stripe's API", "", "api_version");
  }
  return {200, webhooks_.add_endpoint(
                   url, wanted.value("enabled_events", std::vector<std::string>{"*"}), version,
                   wanted.value("secret", ""), wanted.value("thin", false), now())};
}

// What is to be sent now; waits a little when nothing is. Also lets the clock's work be done when
// nobody asks.
std::optional<Outgoing> Sandbox::wait_for_delivery(const std::stop_token& stop) {
  constexpr std::chrono::milliseconds kLook{200};
  std::unique_lock lock(mutex_);
  auto outgoing = whole([&] {
    settle();
    auto next = webhooks_.take(now());
    keep_changes();
    journal_.flush();
    return next;
  });
  if (!outgoing) wakes_.wait_for(lock, stop, kLook, [&] { return has_delivery(); });
  return outgoing;
}

bool Sandbox::has_delivery() {
  moment_ = options_.real_now();
  const auto due = webhooks_.next_due();
  return due && *due <= now();
}

void Sandbox::told_delivery(const std::string& number, int status) {
  const std::lock_guard lock(mutex_);
  whole([&] {
    webhooks_.told(number, status, now());
    keep_changes();
    journal_.flush();
  });
}

}  // namespace tally::sandbox
