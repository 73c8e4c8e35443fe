#include "tests/support/sandbox/webhooks.h"

#include "runtime/crypto/crypto.h"
#include "runtime/http/http.h"
#include "tests/support/sandbox/draws.h"
#include "tests/support/sandbox/places.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace tally::sandbox {
namespace {

using nlohmann::json;
namespace crypto = runtime::crypto;

// Seconds to the next try; the last again and again until three days are over.
constexpr std::array<std::int64_t, 6> kLiveRetries = {300, 1'800, 7'200, 18'000, 36'000, 43'200};
constexpr std::int64_t kLiveSeconds = 3 * kDaySeconds;
constexpr std::array<std::int64_t, 3> kTestRetries = {1'200, 3'600, 7'200};
constexpr std::int64_t kTolerance = 300;

constexpr std::array<std::string_view, 9> kKinds = {
    "stale", "future", "duplicate", "twin", "late", "lost", "forged", "tampered", "unsigned"};
constexpr std::array<std::string_view, 5> kMembers = {"kind", "match", "count", "rate", "value"};

// What is sent besides the true event, and must be refused.
bool is_attack(std::string_view kind) {
  return kind == "forged" || kind == "tampered" || kind == "unsigned";
}

// How far the time that is signed is off; 0 for what has the right one.
std::int64_t skew_of(std::string_view kind) {
  if (kind == "stale") return -2 * kTolerance;
  return kind == "future" ? 2 * kTolerance : 0;
}

// Of a delivery that must not be taken, after an answer of `status`. Who is down or fails on it has
// refused nothing.
std::string_view verdict(int status) {
  if (status == 0) return "unanswered";
  return status >= 400 && status < 500 ? "refused" : "failed";
}

std::string hmac(std::string_view secret, std::string_view text) {
  return crypto::to_hex(crypto::hmac_sha256(secret, text));
}

std::optional<std::int64_t> until_next_try(WebhookRetries retries, std::int64_t tries,
                                           std::int64_t age) {
  const auto index = static_cast<std::size_t>(tries - 1);
  if (retries == WebhookRetries::kTest) {
    return index < kTestRetries.size() ? std::optional(kTestRetries[index]) : std::nullopt;
  }
  const std::int64_t delay = kLiveRetries[std::min(index, kLiveRetries.size() - 1)];
  return age + delay <= kLiveSeconds ? std::optional(delay) : std::nullopt;
}

}  // namespace

std::string signature_header(std::string_view body, const std::vector<std::string>& secrets,
                             std::int64_t timestamp) {
  const std::string text = fmt::format("{}.{}", timestamp, body);
  std::string header = fmt::format("t={}", timestamp);
  for (const std::string& secret : secrets) header += ",v1=" + hmac(secret, text);
  return header + ",v0=" + hmac("v0 is for nobody", text);
}

bool is_local_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const bool is_plain =
      std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!is_plain || !url.starts_with(kScheme)) return false;
  std::string_view place = url.substr(kScheme.size());
  place = place.substr(0, place.find('/'));
  if (place == "127.0.0.1" || place == "localhost" || place == "[::1]") return true;
  const auto endpoint = runtime::http::parse_endpoint(place);
  return endpoint && endpoint->port > 0 &&
         (endpoint->host == "127.0.0.1" || endpoint->host == "localhost" ||
          endpoint->host == "::1");
}

json Webhooks::add_endpoint(const std::string& url, const std::vector<std::string>& types,
                            const json& api_version, std::string secret, bool thin,
                            std::int64_t now) {
  const std::string id = documents_.next_id("webhook_endpoint", "we");
  if (secret.empty()) secret = fmt::format("whsec_test_{:016x}", draw(0, id));
  json endpoint = {
      {"id", id},
      {"object", "webhook_endpoint"},
      {"api_version", api_version},
      {"created", now},
      {"description", nullptr},
      {"enabled_events", types},
      {"livemode", false},
      {"metadata", json::object()},
      {"status", "enabled"},
      {"url", url},
      {"sandbox",
       {{"thin", thin}, {"secrets", json::array({{{"secret", secret}, {"until", nullptr}}})}}}};
  documents_.put(endpoint);
  endpoint["secret"] = secret;
  return endpoint;
}

std::string Webhooks::roll(const std::string& id, std::string secret, std::int64_t overlap_s,
                           std::int64_t now) {
  json endpoint = *documents_.find("webhook_endpoint", id);
  json& secrets = endpoint["sandbox"]["secrets"];
  if (secret.empty()) secret = fmt::format("whsec_test_{:016x}", draw(0, id, secrets.size()));
  for (json& old : secrets) {
    if (old["until"].is_null()) old["until"] = now + overlap_s;
  }
  secrets.push_back({{"secret", secret}, {"until", nullptr}});
  documents_.put(std::move(endpoint));
  return secret;
}

void Webhooks::remove(const std::string& id) {
  json endpoint = *documents_.find("webhook_endpoint", id);
  endpoint["status"] = "deleted";
  documents_.put(std::move(endpoint));
}

Refused Webhooks::add_faults(const json& wanted) {
  std::vector<Fault> added;
  for (const json& one : wanted.is_array() ? wanted : json::array({wanted})) {
    for (const auto& [name, value] : one.items()) {
      if (std::find(kMembers.begin(), kMembers.end(), name) != kMembers.end()) continue;
      return invalid_request(fmt::format("a fault of webhooks has no {}", name), "", name);
    }
    Fault fault{one.at("kind"), one.value("match", ""), 1, 0, one.value("value", std::int64_t{0})};
    if (one.contains("count")) fault.count = whole_number(one["count"]);
    if (one.contains("rate")) fault.rate = one["rate"].get<double>();
    const bool is_known = std::find(kKinds.begin(), kKinds.end(), fault.kind) != kKinds.end();
    const bool is_rate = !one.contains("rate") || (fault.rate > 0 && fault.rate <= 1);
    if (!is_known || !is_rate || fault.count < 1 || fault.value < 0 ||
        (one.contains("rate") && one.contains("count"))) {
      return invalid_request(
          fmt::format("a fault of webhooks has a kind of {}; a count from 1 or "
                      "a rate up to 1; a value of seconds",
                      fmt::join(kKinds, ", ")));
    }
    added.push_back(std::move(fault));
  }
  faults_.insert(faults_.end(), added.begin(), added.end());
  return std::nullopt;
}

json Webhooks::shown_faults() const {
  json out = json::array();
  for (const Fault& fault : faults_) {
    json one = {{"kind", fault.kind}, {"match", fault.match}, {"value", fault.value}};
    fault.rate > 0 ? one["rate"] = fault.rate : one["count"] = fault.count;
    out.push_back(std::move(one));
  }
  return out;
}

Webhooks::Struck Webhooks::strike_counted(std::string_view type) {
  Struck struck;
  for (Fault& fault : faults_) {
    const bool fits = fault.rate == 0 && type.find(fault.match) != std::string_view::npos;
    if (!fits || struck.contains(fault.kind)) continue;
    struck[fault.kind] = fault.value;
    --fault.count;
  }
  std::erase_if(faults_, [](const Fault& fault) { return fault.rate == 0 && fault.count <= 0; });
  return struck;
}

void Webhooks::strike_drawn(const json& event, const std::string& endpoint, Struck& struck) const {
  const std::string type = event["type"];
  for (const Fault& fault : faults_) {
    const bool fits = fault.rate > 0 && type.find(fault.match) != std::string::npos;
    if (!fits || struck.contains(fault.kind)) continue;
    const std::string what = fault.kind + event["id"].get<std::string>() + endpoint;
    const auto seed = static_cast<std::uint64_t>(behaviour_.seed);
    if (fraction_of(draw(seed, what)) < fault.rate) struck[fault.kind] = fault.value;
  }
}

void Webhooks::add_delivery(const json& event, const json& endpoint, const std::string& kind,
                            std::int64_t due, bool lost) {
  keep({{"id", documents_.next_id("delivery", "dl")},
        {"object", "delivery"},
        {"event", event["id"]},
        {"type", event["type"]},
        {"endpoint", endpoint["id"]},
        {"kind", kind},
        {"lost", lost},
        {"created", due},
        {"due", due},
        {"state", "waiting"},
        {"tries", json::array()},
        // Thin ones are not among the documents.
        {"sandbox", event["object"] == "event" ? json(nullptr) : event}});
}

std::int64_t Webhooks::announce(const json& event, bool thin, std::int64_t now) {
  std::int64_t count = 0;
  const std::string type = event["type"];
  std::optional<Struck> counted;
  for (const auto& [id, endpoint] : documents_.all("webhook_endpoint")) {
    const json& types = endpoint["enabled_events"];
    const bool is_wanted = std::any_of(types.begin(), types.end(),
                                       [&](const json& one) { return one == "*" || one == type; });
    if (!is_wanted || endpoint["status"] != "enabled" || endpoint["sandbox"]["thin"] != thin) {
      continue;
    }
    // A count is of events: it strikes at each endpoint that wants this one.
    if (!counted) counted = strike_counted(type);
    Struck struck = *counted;
    strike_drawn(event, id, struck);
    deliver(event, endpoint, struck, now);
    ++count;
  }
  return count;
}

void Webhooks::deliver(const json& event, const json& endpoint, const Struck& struck,
                       std::int64_t now) {
  for (const auto& [kind, value] : struck) {
    ++counts_[kind];
    if (is_attack(kind)) add_delivery(event, endpoint, kind, now);
  }
  const auto late = struck.find("late");
  const std::int64_t due =
      late == struck.end() ? now : now + std::max<std::int64_t>(late->second, 1);
  add_delivery(event, endpoint,
               struck.contains("stale")    ? "stale"
               : struck.contains("future") ? "future"
                                           : "",
               due, struck.contains("lost"));
  if (const auto again = struck.find("duplicate"); again != struck.end()) {
    add_delivery(event, endpoint, "duplicate", again->second > 0 ? now + again->second : due);
  }
  if (const auto twin = struck.find("twin"); twin != struck.end()) {
    add_delivery(twin_of(event), endpoint, "twin", twin->second > 0 ? now + twin->second : due);
  }
}

// Another event of the same change.
json Webhooks::twin_of(json event) {
  if (event["object"] == "event") {
    event["id"] = documents_.next_id("event", "evt");
    documents_.put(event);
  } else {
    event["id"] = event["id"].get<std::string>() + std::string(kTwin);
  }
  return event;
}

void Webhooks::keep(json delivery) {
  restore(delivery);
  documents_.put(std::move(delivery));
}

// Before the document itself is restored, so that what was there can be forgotten.
void Webhooks::restore(const json& document) {
  const std::string id = document.at("id");
  if (const json* old = documents_.find("delivery", id)) waiting_.erase({(*old)["due"], id});
  if (document.at("state") == "waiting") waiting_.insert({document.at("due"), id});
}

std::string Webhooks::body_of(const json& delivery, const json& endpoint) const {
  if (!delivery["sandbox"].is_null()) {
    json thin = delivery["sandbox"];
    thin.erase("data");
    return thin.dump();
  }
  json event = *documents_.find("event", delivery["event"].get_ref<const std::string&>());
  if (!endpoint["api_version"].is_null()) event["api_version"] = endpoint["api_version"];
  // As Stripe writes it: what is checked must be these bytes, not their meaning.
  return shown(std::move(event), behaviour_.api_version).dump(2);
}

std::optional<Outgoing> Webhooks::take(std::int64_t now) {
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    const std::string id = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    const json& delivery = *documents_.find("delivery", id);
    const json& endpoint =
        *documents_.find("webhook_endpoint", delivery["endpoint"].get_ref<const std::string&>());
    if (endpoint["status"] != "deleted") {
      on_the_way_.insert(id);
      return made_of(delivery, endpoint, now);
    }
    json gone = delivery;
    gone["state"] = "given_up";
    keep(std::move(gone));
  }
  return std::nullopt;
}

Outgoing Webhooks::made_of(const json& delivery, const json& endpoint, std::int64_t now) const {
  const std::string kind = delivery["kind"];
  std::vector<std::string> secrets;
  for (const json& one : endpoint["sandbox"]["secrets"]) {
    if (one["until"].is_null() || one["until"].get<std::int64_t>() > now) {
      secrets.push_back(one["secret"]);
    }
  }
  const std::int64_t timestamp = delivery["tries"].empty() ? now + skew_of(kind) : now;
  std::string body = body_of(delivery, endpoint);
  if (kind == "forged") secrets = {"whsec_of_somebody_else"};
  if (kind == "unsigned") secrets.clear();
  std::string signature = signature_header(body, secrets, timestamp);
  if (kind == "tampered") body.insert(body.rfind('}'), " ");
  const std::string url = endpoint["url"];
  const auto slash = std::min(url.find('/', std::string_view("http://").size()), url.size());
  return {delivery["id"], url.substr(0, slash), slash == url.size() ? "/" : url.substr(slash),
          std::move(body), std::move(signature)};
}

void Webhooks::told(const std::string& id, int status, std::int64_t now) {
  if (on_the_way_.erase(id) == 0) return;
  json delivery = *documents_.find("delivery", id);
  const std::string kind = delivery["kind"];
  json& tries = delivery["tries"];
  tries.push_back({{"at", now}, {"status", status}});
  const bool is_taken = status >= 200 && status < 300;
  // The first 2xx that would end it.
  const bool is_lost = is_taken && delivery["lost"].get<bool>();
  const bool is_off = skew_of(kind) != 0 && tries.size() == 1;
  if (is_taken && (is_off || is_attack(kind))) {
    delivery["state"] = "accepted_though_" + kind;
  } else if (is_attack(kind)) {
    delivery["state"] = verdict(status);
  } else if (is_taken && !is_lost) {
    delivery["state"] = "delivered";
  } else {
    if (is_lost) delivery["lost"] = false;
    const auto next =
        until_next_try(behaviour_.webhook_retries, static_cast<std::int64_t>(tries.size()),
                       now - delivery["created"].get<std::int64_t>());
    if (next) delivery["due"] = now + *next;
    if (!next) delivery["state"] = "given_up";
  }
  keep(std::move(delivery));
}

std::optional<std::int64_t> Webhooks::next_due() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.begin()->first;
}

json Webhooks::counters(std::int64_t now) const {
  std::map<std::string, std::int64_t> states;
  for (const auto& [id, delivery] : documents_.all("delivery")) ++states[delivery["state"]];
  const auto due = std::count_if(waiting_.begin(), waiting_.end(),
                                 [&](const auto& one) { return one.first <= now; });
  return {
      {"states", states}, {"due", due}, {"on_the_way", on_the_way_.size()}, {"faults", counts_}};
}

}  // namespace tally::sandbox
