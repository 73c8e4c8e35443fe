#include "tests/support/sandbox/sandbox.h"

#include "runtime/log/log.h"
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

#include <array>

namespace tally::sandbox {
namespace {

using nlohmann::json;
namespace http = runtime::http;

constexpr std::string_view kApiVersion = "2026-08-26.dahlia";
constexpr std::size_t kMaxKeyCharacters = 255;

std::string decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;
    bits = (bits << 6U) | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xffU);
  }
  return out;
}

// The secret key of the request, from either scheme; "" when there is none.
std::string api_key(const http::Request& request) {
  const std::string_view value = request.header("Authorization");
  if (value.starts_with("Bearer ")) return std::string(value.substr(7));
  if (!value.starts_with("Basic ")) return "";
  const std::string pair = decode_base64(value.substr(6));
  return pair.substr(0, pair.find(':'));
}

Refused check_key(const http::Request& request) {
  const std::string key = api_key(request);
  if (key.empty()) {
    return error_reply(401, "invalid_request_error",
                       "You did not provide an API key. Give it as Authorization: Bearer KEY.");
  }
  if (key.starts_with("sk_test_forbidden")) {
    return error_reply(403, "invalid_request_error",
                       "The provided key does not have the permissions for this.");
  }
  if (!key.starts_with("sk_test_") || key.size() == 8) {
    return error_reply(401, "invalid_request_error",
                       "Invalid API Key provided; this sandbox takes sk_test_*.");
  }
  return std::nullopt;
}

Refused check_body_type(const http::Request& request) {
  if (request.method != "POST" || request.body.empty()) return std::nullopt;
  if (request.header("Content-Type").starts_with("application/x-www-form-urlencoded")) {
    return std::nullopt;
  }
  return invalid_request(
      "Invalid request (check that your POST content type is application/x-www-form-urlencoded).");
}

http::Response response_of(const Reply& reply) {
  http::Response response;
  response.status = reply.status;
  response.headers.set("Content-Type", "application/json");
  for (const auto& [name, value] : reply.headers) response.headers.set(name, value);
  const bool page = response.header("Content-Type") == "text/html";
  response.body = page ? reply.body.get<std::string>()
                       : reply.body.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

bool strikes_before_the_endpoint(FaultKind kind) {
  return kind == FaultKind::kStatus503 || kind == FaultKind::kStatus429 ||
         kind == FaultKind::kStatus409 || kind == FaultKind::kDropBefore;
}

}  // namespace

Refused read_page(const Form& form, PageRequest& out) {
  std::optional<std::int64_t> limit;
  if (auto refused = form.integer("limit", limit)) return refused;
  out.limit = limit.value_or(10);
  out.starting_after = form.get("starting_after");
  out.ending_before = form.get("ending_before");
  return std::nullopt;
}

Sandbox::Sandbox(SandboxOptions options) : options_(std::move(options)) {
  if (!options_.real_now) {
    options_.real_now = [] {
      return std::chrono::duration_cast<std::chrono::seconds>(
                 std::chrono::system_clock::now().time_since_epoch())
          .count();
    };
  }
  if (!options_.steady_now) options_.steady_now = [] { return std::chrono::steady_clock::now(); };
  if (!options_.state_file.empty()) load();
}

std::int64_t Sandbox::now() const {
  return frozen_now_ ? *frozen_now_ : options_.real_now() + clock_offset_s_;
}

http::Response Sandbox::handle(const http::Request& request) {
  const std::lock_guard lock(mutex_);
  const std::string_view path = request.path();
  if (path == "/healthz") return response_of({200, {{"alive", true}}});
  if (path.starts_with("/sandbox/")) return response_of(sandbox_call(request));
  return stripe_call(request);
}

Reply Sandbox::sandbox_call(const http::Request& request) {
  const std::string_view path = request.path();
  const bool reads = request.method == "GET";
  try {
    if (path == "/sandbox/clock") return clock_call(request);
    if (path == "/sandbox/oracle/totals" && reads) return {200, books_.oracle_totals()};
    if (path == "/sandbox/oracle/events" && reads) return {200, books_.oracle_events()};
    if (path == "/sandbox/settings" && request.method == "POST") {
      const std::int64_t delay_ms = json::parse(request.body).at("answer_delay_ms");
      if (delay_ms < 0 || delay_ms > 600'000) {
        return invalid_request("answer_delay_ms is from 0 to 600000");
      }
      options_.answer_delay = std::chrono::milliseconds(delay_ms);
      return {200, {{"answer_delay_ms", delay_ms}}};
    }
    if (path == "/sandbox/faults") {
      if (request.method == "DELETE") faults_.clear();
      if (request.method == "POST") {
        if (auto refused = faults_.add(json::parse(request.body))) return *refused;
      }
      return {200, faults_.shown()};
    }
  } catch (const json::exception& problem) {
    return invalid_request(fmt::format("the body is not what {} takes: {}", path, problem.what()));
  }
  return error_reply(404, "invalid_request_error",
                     "no such path: there are /sandbox/clock, faults, settings, oracle/totals and "
                     "oracle/events");
}

// {"now": T}: the clock stands at T · {"now": null}: the real one · {"advance_seconds": N}: N
// later, standing or running as before.
Reply Sandbox::clock_call(const http::Request& request) {
  if (request.method == "POST") {
    const json wanted = json::parse(request.body);
    if (wanted.contains("advance_seconds")) {
      const std::int64_t seconds = wanted["advance_seconds"];
      if (frozen_now_) {
        *frozen_now_ += seconds;
      } else {
        clock_offset_s_ += seconds;
      }
    } else if (wanted.at("now").is_null()) {
      frozen_now_.reset();
      clock_offset_s_ = 0;
    } else {
      frozen_now_ = wanted["now"].get<std::int64_t>();
    }
    record({{"clock",
             {{"frozen", frozen_now_ ? json(*frozen_now_) : json(nullptr)},
              {"offset", clock_offset_s_}}}});
  }
  return {200, {{"now", now()}, {"frozen", frozen_now_.has_value()}}};
}

http::Response Sandbox::stripe_call(const http::Request& request) {
  Call call{request.method,
            std::string(request.path()),
            {},
            std::string(request.header("Idempotency-Key")),
            options_.answer_delay};
  const auto mark = request.target.find('?');
  const bool posts = request.method == "POST";
  if (posts) call.form = Form::parse(request.body);
  if (!posts && mark != std::string::npos) {
    call.form = Form::parse(std::string_view(request.target).substr(mark + 1));
  }
  Fault fault;
  Reply reply;
  if (auto refused = check_key(request)) {
    reply = *refused;
  } else if (auto wrong_type = check_body_type(request)) {
    reply = *wrong_type;
  } else {
    fault = faults_.strike(call.path);
    if (fault.kind == FaultKind::kDelay) call.delay += std::chrono::milliseconds(fault.value);
    reply = strikes_before_the_endpoint(fault.kind) ? reply_of(fault) : once(call, fault);
  }
  http::Response response = response_of(reply);
  response.headers.set("Request-Id", fmt::format("req_test_{:010}", ++requests_));
  const std::string_view version = request.header("Stripe-Version");
  response.headers.set("Stripe-Version", version.empty() ? kApiVersion : version);
  if (!call.idempotency_key.empty()) response.headers.set("Idempotency-Key", call.idempotency_key);
  response.delay = call.delay;
  response.drop_connection =
      fault.kind == FaultKind::kDropBefore || fault.kind == FaultKind::kDropAfter;
  return response;
}

// The idempotency layer around the endpoints: only POSTs with a key are remembered.
Reply Sandbox::once(const Call& call, Fault& fault) {
  const bool keyed = call.method == "POST" && !call.idempotency_key.empty();
  const std::string fingerprint = call.path + "?" + call.form.fingerprint();
  if (keyed && count_characters(call.idempotency_key) > kMaxKeyCharacters) {
    return error_reply(400, "idempotency_error", "An idempotency key has at most 255 characters.");
  }
  const auto known = stored_.find(call.idempotency_key);
  if (keyed && known != stored_.end()) {
    Stored& stored = known->second;
    if (now() - stored.created >= kIdempotencySeconds) {
      stored_.erase(known);
    } else if (stored.fingerprint != fingerprint) {
      return error_reply(400, "idempotency_error",
                         "Keys for idempotent requests can only be used with the same parameters "
                         "they were first used with.");
    } else if (options_.steady_now() < stored.in_flight_until) {
      return error_reply(409, "idempotency_error",
                         "There is currently another in-progress request using this idempotency "
                         "key.",
                         "idempotency_key_in_use");
    } else {
      Reply replayed = stored.reply;
      replayed.headers["Idempotent-Replayed"] = "true";
      return replayed;
    }
  }
  Reply reply = fault.kind == FaultKind::kStatus500 ? reply_of(fault) : route(call);
  const bool fails_after = fault.kind == FaultKind::kStatus500After && reply.keep == Keep::kYes;
  if (fails_after) reply = reply_of(fault);
  if (!keyed || reply.keep == Keep::kNo) return reply;
  record({{"key", call.idempotency_key},
          {"fingerprint", fingerprint},
          {"status", reply.status},
          {"body", reply.body},
          {"headers", reply.headers},
          {"created", now()}});
  stored_[call.idempotency_key] = {fingerprint, reply, now(), options_.steady_now() + call.delay};
  return reply;
}

void Sandbox::load() {
  std::string intact;
  if (std::ifstream stream(options_.state_file, std::ios::binary); stream) {
    for (std::string line; std::getline(stream, line);) {
      const json parsed = json::parse(line, nullptr, false);
      if (stream.eof() || parsed.is_discarded()) {
        if (!stream.eof() && stream.peek() != std::char_traits<char>::eof()) {
          throw std::runtime_error(fmt::format(
              "{}: a line in the middle is no JSON; move the file away", options_.state_file));
        }
        runtime::log::warn("the state file ended in a torn line, which is cut off",
                           {{"file", options_.state_file}});
        break;
      }
      replay(parsed);
      intact += line + "\n";
    }
  }
  journal_.open(options_.state_file, std::ios::binary | std::ios::trunc);
  journal_ << intact << std::flush;
  if (!journal_) {
    throw std::runtime_error(
        fmt::format("cannot write {}; give a writable --state-file", options_.state_file));
  }
}

void Sandbox::replay(const json& line) {
  if (line.contains("meter")) books_.put(meter_of(line["meter"]));
  if (line.contains("event")) books_.accept(event_of(line["event"]));
  if (line.contains("cancel")) {
    const json& cancel = line["cancel"];
    [[maybe_unused]] const Refused done =
        books_.cancel(cancel.at("event_name").get<std::string>(),
                      cancel.at("identifier").get<std::string>(), cancel.at("now"));
  }
  if (line.contains("clock")) {
    const json& frozen = line["clock"].at("frozen");
    frozen_now_ = frozen.is_null() ? std::nullopt : std::optional(frozen.get<std::int64_t>());
    clock_offset_s_ = line["clock"].at("offset");
  }
  if (line.contains("key")) {
    Reply reply{line.at("status"), line.at("body"), Keep::kYes,
                line.at("headers").get<std::map<std::string, std::string>>()};
    stored_[line["key"].get<std::string>()] = {
        line.at("fingerprint"), reply, line.at("created"), {}};
  }
}

void Sandbox::record(const json& line) {
  if (options_.state_file.empty()) return;
  journal_ << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n' << std::flush;
  if (!journal_) throw std::runtime_error("the state file cannot be written any more");
}

}  // namespace tally::sandbox
