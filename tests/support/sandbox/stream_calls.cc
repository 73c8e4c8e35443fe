// The second version of Stripe's API, as far as it takes meter events: sessions and the stream.
#include "tests/support/sandbox/call.h"
#include "tests/support/sandbox/draws.h"
#include "tests/support/sandbox/times.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <set>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::int64_t kSessionSeconds = 900;
constexpr std::size_t kMaxStreamed = 100;
constexpr std::string_view kSession = "v2.billing.meter_event_session";

Reply v2_error(int status, std::string_view code, std::string_view message,
               std::string_view type = "") {
  json error = {{"code", code}, {"message", message}};
  if (!type.empty()) error["type"] = type;
  return {status, {{"error", std::move(error)}}, Keep::kNo};
}

Reply invalid(std::string_view message) {
  return v2_error(400, "invalid_parameters", message, "invalid_request_error");
}

// The seconds of "Z", "+01:00" or "-01:00"; nullopt when it is none.
std::optional<std::int64_t> read_offset(std::string_view text) {
  if (text == "Z") return 0;
  const auto digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  const bool has_shape = text.size() == 6 && (text[0] == '+' || text[0] == '-') && text[3] == ':' &&
                         digit(1) && digit(2) && digit(4) && digit(5);
  if (!has_shape) return std::nullopt;
  const auto number = [&](std::size_t at) { return (text[at] - '0') * 10 + text[at + 1] - '0'; };
  if (number(1) > 23 || number(4) > 59) return std::nullopt;
  const std::int64_t seconds = number(1) * 3'600 + number(4) * 60;
  return text[0] == '+' ? seconds : -seconds;
}

// Whole seconds of a time of RFC 3339; nullopt when it is none, as that of a 13th month.
std::optional<std::int64_t> read_rfc3339(const std::string& text) {
  std::tm parts{};
  int read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &read) != 6) {
    return std::nullopt;
  }
  std::string_view rest = std::string_view(text).substr(static_cast<std::size_t>(read));
  if (rest.starts_with('.')) {
    rest.remove_prefix(std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
  }
  const auto offset = read_offset(rest);
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const std::tm said = parts;
  const std::int64_t seconds = ::timegm(&parts);
  // timegm() makes the 1st of March of the 29th of February of a year that has none.
  const bool is_one = said.tm_mon == parts.tm_mon && said.tm_mday == parts.tm_mday &&
                      said.tm_hour == parts.tm_hour && said.tm_min == parts.tm_min &&
                      said.tm_sec == parts.tm_sec;
  if (!offset || !is_one) return std::nullopt;
  return seconds - *offset;
}

// One event of the stream as a draft; refused when it has not the shape of one.
Refused read_draft(const json& sent, std::int64_t now, Draft& out) {
  if (!sent.is_object()) return invalid("events are objects");
  for (const auto& [name, value] : sent.items()) {
    const bool known =
        name == "event_name" || name == "identifier" || name == "payload" || name == "timestamp";
    if (!known) return invalid(fmt::format("Received unknown parameter: {}", name));
    if (name == "payload" ? !value.is_object() : !value.is_string()) {
      return invalid(fmt::format("{} has another type", name));
    }
  }
  if (!sent.contains("event_name") || !sent.contains("payload")) {
    return invalid("event_name and payload are required");
  }
  for (const auto& [key, value] : sent["payload"].items()) {
    if (!value.is_string()) return invalid("values of payload are strings");
    if (count_characters(key) > kMaxName ||
        count_characters(value.get_ref<const std::string&>()) > kMaxName) {
      return invalid("keys and values of payload have at most 100 characters");
    }
    out.payload[key] = value;
  }
  out.event_name = sent["event_name"];
  out.identifier = sent.value("identifier", "");
  out.timestamp = now;
  if (sent.contains("timestamp")) {
    const auto time = read_rfc3339(sent["timestamp"]);
    if (!time) return invalid("timestamp is a time of RFC 3339");
    out.timestamp = *time;
  }
  if (count_characters(out.event_name) > kMaxName || count_characters(out.identifier) > kMaxName) {
    return invalid("event_name and identifier have at most 100 characters");
  }
  return std::nullopt;
}

}  // namespace

// nullopt: another's.
std::optional<Reply> Sandbox::route_v2(const Call& call) {
  if (call.is("POST", "/v2/billing/meter_event_session")) return open_session(call);
  if (call.is("POST", kStreamPath)) return stream(call);
  return std::nullopt;
}

Reply Sandbox::open_session(const Call& call) {
  const json body = call.body.empty() ? json::object() : json::parse(call.body, nullptr, false);
  if (!body.is_object() || !body.empty()) return invalid("a session takes no parameters");
  const std::string id = documents_.next_id(kSession, "mes");
  const auto seed = static_cast<std::uint64_t>(behaviour_.seed);
  json session = {{"id", id},
                  {"object", kSession},
                  {"authentication_token", fmt::format("{}_{:016x}", id, draw(seed, id))},
                  {"created", rfc3339(now())},
                  {"expires_at", rfc3339(now() + kSessionSeconds)},
                  {"livemode", false},
                  {"sandbox", {{"until", now() + kSessionSeconds}}}};
  documents_.put(session);
  session.erase("sandbox");
  return {200, std::move(session)};
}

// A token of a session that is over is told from one that never was.
Refused Sandbox::check_token(std::string_view token) const {
  const json* session = documents_.find(kSession, token.substr(0, token.rfind('_')));
  if (session == nullptr || (*session)["authentication_token"] != token) {
    return v2_error(401, "invalid_authentication", "Invalid authentication token.");
  }
  if (now() < (*session)["sandbox"]["until"].get<std::int64_t>()) return std::nullopt;
  return v2_error(401, "billing_meter_event_session_expired", "The session has expired.",
                  "temporary_session_expired");
}

// One of the events that would be counted; nullopt when all are known.
std::optional<std::size_t> Sandbox::drawn_of(const std::vector<Draft>& drafts,
                                             const Call& call) const {
  std::vector<std::size_t> fresh;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const std::string& identifier = drafts[i].identifier;
    const bool is_first = identifier.empty() || seen.insert(identifier).second;
    if (is_first && books_.streamed(drafts[i], now()).code.empty()) fresh.push_back(i);
  }
  if (fresh.empty()) return std::nullopt;
  const auto seed = static_cast<std::uint64_t>(behaviour_.seed);
  return fresh[draw(seed, call.body) % fresh.size()];
}

// Whole or not at all; what is wrong with an event beyond its shape is reported later.
Reply Sandbox::stream(const Call& call) {
  const json body = json::parse(call.body, nullptr, false);
  if (!body.is_object() || body.size() != 1 || !body.contains("events") ||
      !body["events"].is_array() || body["events"].empty()) {
    return invalid("the body is {\"events\": […]}");
  }
  if (body["events"].size() > kMaxStreamed) return invalid("at most 100 events in one call");
  if (auto refused = limits_.admit_streamed(body["events"].size(), behaviour_, call.at)) {
    return *refused;
  }
  std::vector<Draft> drafts;
  for (const json& sent : body["events"]) {
    if (auto refused = read_draft(sent, now(), drafts.emplace_back())) return *refused;
  }
  const auto struck = call.reject_later.empty() ? std::nullopt : drawn_of(drafts, call);
  const bool keeps = !options_.state_file.empty();
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (drafts[i].identifier.empty()) {
      drafts[i].identifier = fmt::format("evt_test_{}_{}", now(), books_.event_count());
    }
    // No key of the call: it would name all of them.
    Event event = books_.streamed(std::move(drafts[i]), now());
    if (struck == i) event.reject_later = call.reject_later;
    if (keeps) journal_.add({{"event", json_of(event)}});
    books_.accept(std::move(event));
  }
  settle();
  Reply reply{200, json::object()};
  reply.rejects_later = struck.has_value();
  return reply;
}

}  // namespace tally::sandbox
