#include "tests/support/sandbox/sandbox.h"

#include "runtime/crypto/crypto.h"
#include "runtime/log/log.h"
#include "tests/support/sandbox/auth.h"
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace tally::sandbox {
namespace {

using nlohmann::json;
namespace http = runtime::http;

constexpr std::size_t kMaxKeyCharacters = 255;

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

SandboxOptions with_clocks(SandboxOptions options) {
  if (!options.real_now) {
    options.real_now = [] {
      return std::chrono::duration_cast<std::chrono::seconds>(
                 std::chrono::system_clock::now().time_since_epoch())
          .count();
    };
  }
  if (!options.steady_now) options.steady_now = [] { return std::chrono::steady_clock::now(); };
  return options;
}

void require(std::string_view what, const Refused& refused) {
  if (!refused) return;
  throw std::runtime_error(
      fmt::format("{}: {}", what, refused->body["error"]["message"].get<std::string>()));
}

// The endpoint is not reached, nor what the key keeps.
bool strikes_before(const Fault& fault) {
  return fault && !fault.kind->works && fault.kind->kept == Kept::kNothing;
}

// The endpoint did its work, and something after it answers instead.
bool hides_the_answer(const Fault& fault) {
  return fault && fault.kind->works && fault.kind->status != 0 && fault.kind->kept != Kept::kFault;
}

}  // namespace

std::string_view query_of(const http::Request& request) {
  const auto mark = std::min(request.target.find('?'), request.target.size() - 1);
  return std::string_view(request.target).substr(mark + 1);
}

Sandbox::Sandbox(SandboxOptions options)
    : options_(with_clocks(std::move(options))),
      journal_(options_.state_file, [this](const json& line) { replay(line); }) {
  require("settings", behaviour_.change(options_.settings));
  if (options_.fault_plan.is_null()) return;
  try {
    require("fault plan", faults_.set_plan(options_.fault_plan));
  } catch (const json::exception& problem) {
    throw std::runtime_error(fmt::format("fault plan: {}", problem.what()));
  }
}

void give_up(const std::exception& problem) {
  runtime::log::error("the sandbox cannot go on: half of a step is never kept",
                      {{"problem", problem.what()}});
  std::abort();
}

std::int64_t Sandbox::now() const { return frozen_now_ ? *frozen_now_ : moment_ + clock_offset_s_; }

http::Response Sandbox::handle(const http::Request& request) {
  const std::string_view path = request.path();
  if (path == "/healthz") return response_of({200, {{"alive", true}}});
  const auto alone = [&](const auto& work) {
    const std::lock_guard lock(mutex_);
    return whole([&] {
      if (behaviour_.account.empty()) draw_account();
      settle();
      auto done = work();
      keep_changes();
      journal_.flush();
      if (has_delivery()) wakes_.notify_all();
      return done;
    });
  };
  if (!path.starts_with("/sandbox/")) return alone([&] { return stripe_call(request); });
  // A long list becomes text while others go on.
  return response_of(alone([&] { return sandbox_call(request); }));
}

// Another for each state file, and the same whenever it is read again.
void Sandbox::draw_account() {
  const json drawn = {{"account", "acct_test_" + runtime::crypto::random_hex(8)}};
  require("account", behaviour_.change(drawn));
  journal_.add({{"settings", drawn}});
}

void Sandbox::settle() {
  const std::int64_t at = now();
  // In the order of time: what is counted after an invoice was finalized is not on it.
  for (auto due = documents_.due(); due && due->at <= at; due = documents_.due()) {
    settle_events(due->at);
    billing_.set_cause(nullptr);
    billing_.run(*due);
    keep_changes();
    journal_.flush();
  }
  settle_events(at);
  for (const json& report : reports_.publish(at, behaviour_.error_samples)) {
    journal_.add({{"report", report}});
    static_cast<void>(webhooks_.announce(report, true, at));
  }
  keep_changes();
}

void Sandbox::settle_events(std::int64_t at) {
  const bool keeps = !options_.state_file.empty();
  for (const std::size_t position : books_.settle(at)) {
    const Event& event = books_.event(position);
    const std::string request = request_of(event);
    const std::string& code = behaviour_.shown_code(event.code);
    // Ten thousand a second are made into JSON for a file only. What a report says of it is kept
    // as it is now: settings may be others at the next start.
    if (keeps) {
      journal_.add({{"settled", position},
                    {"as", json_of(event)},
                    {"reported", {{"code", code}, {"request", request}}}});
    }
    note(event, code, request);
  }
}

// With the deliveries of its events.
void Sandbox::keep_changes() {
  json changes = documents_.take_changes();
  if (changes.empty()) return;
  for (const json& change : changes) {
    if (change["object"] == "event") static_cast<void>(webhooks_.announce(change, false, now()));
  }
  for (json& delivery : documents_.take_changes()) changes.push_back(std::move(delivery));
  journal_.add({{"billing", std::move(changes)}});
}

std::string Sandbox::request_of(const Event& rejected) const {
  const bool by_key = behaviour_.error_request == ErrorRequest::kIdempotencyKey &&
                      !rejected.sent.idempotency_key.empty();
  return by_key ? rejected.sent.idempotency_key : rejected.sent.identifier;
}

void Sandbox::note(const Event& settled, const std::string& code, const std::string& request) {
  if (settled.state != EventState::kRejected) return;
  reports_.add({settled.meter_id, code, settled.message, request, settled.due});
}

// What refuses a request before it is looked at; counts the reads that come through.
Refused Sandbox::refuse_early(const http::Request& request, Call& call) {
  if (call.is("POST", kStreamPath)) {
    if (auto refused = check_token(bearer_of(request))) return refused;
  } else {
    if (auto refused = check_key(request)) return refused;
    if (auto refused = limits_.admit(call.method, call.path, behaviour_, call.at)) return refused;
  }
  call.admitted = true;
  if (call.method == "GET") limits_.count_read(now());
  if (auto refused = check_version(request)) return refused;
  if (auto refused = check_body_type(request)) return refused;
  if (!is_utf8(call.path) || !is_utf8(call.idempotency_key)) {
    return invalid_request("The path or the idempotency key is not valid UTF-8.");
  }
  if (auto refused = call.form.check_text()) return refused;
  return call.elsewhere.check_empty();
}

http::Response Sandbox::stripe_call(const http::Request& request) {
  Call call;
  call.method = request.method;
  call.path = request.path();
  call.idempotency_key = request.header("Idempotency-Key");
  if (requests_ == 0) journal_.add({{"start", ++starts_}});
  call.request_id = fmt::format("req_test_{:04}{:010}", starts_, ++requests_);
  call.at = options_.steady_now();
  call.version = request.header("Stripe-Version");
  if (call.version.empty()) call.version = behaviour_.api_version;
  call.delay = std::chrono::milliseconds(behaviour_.answer_delay_ms);
  const bool posts = call.method == "POST";
  const bool is_json = posts && call.path.starts_with("/v2/");
  if (is_json) call.body = request.body;
  if (!is_json) {
    call.form = Form::parse(posts ? std::string_view(request.body) : query_of(request));
  }
  call.elsewhere = Form::parse(posts ? query_of(request) : std::string_view(request.body));
  const Refused refused = refuse_early(request, call);
  Fault fault;
  if (!refused) fault = faults_.strike(call.path, identity_of(call));
  const std::chrono::milliseconds later(fault ? fault.value : 0);
  const bool holds = fault && fault.kind->holds();
  if (holds) call.delay += later;
  if (call.admitted && call.delay.count() > 0) limits_.enter(call.at + call.delay);
  if (fault && fault.kind->rejects_later) call.reject_later = fault.code;
  Reply reply = refused ? *refused : strikes_before(fault) ? reply_of(fault) : once(call, fault);
  const bool struck = fault && took_effect(fault, reply);
  faults_.note(fault, struck);
  if (struck && hides_the_answer(fault)) reply = reply_of(fault);
  complete(reply, call);
  http::Response response = response_of(reply);
  if (struck && fault.kind->garble != Garble::kNo) {
    response.body = garbled(fault.kind->garble, response.body);
  }
  response.headers.set("Date", http_date(now()));
  response.headers.set("Request-Id", call.request_id);
  if (behaviour_.version_echo) {
    response.headers.set("Stripe-Version", call.version);
  }
  if (!call.idempotency_key.empty()) response.headers.set("Idempotency-Key", call.idempotency_key);
  response.delay = struck && !holds ? call.delay + later : call.delay;
  response.drop_connection = struck && fault.kind->cut != Cut::kNo;
  response.reset_connection = struck && fault.kind->cut == Cut::kReset;
  return response;
}

// The idempotency layer around the endpoints: only POSTs with a key are remembered.
Reply Sandbox::once(const Call& call, const Fault& fault) {
  const bool keyed = call.method == "POST" && !call.idempotency_key.empty();
  // Hashed, as a streamed call has up to 12 KB; the key is nothing that is secret.
  const std::string parameters = call.path + "?" + call.form.fingerprint() + call.body;
  const std::string fingerprint =
      keyed ? runtime::crypto::to_hex(runtime::crypto::hmac_sha256("", parameters)) : "";
  if (keyed && count_characters(call.idempotency_key) > kMaxKeyCharacters) {
    return error_reply(400, "idempotency_error", "An idempotency key has at most 255 characters.");
  }
  if (keyed) {
    if (auto known = keys_.answer(call.idempotency_key, fingerprint, now(), call.at)) return *known;
  }
  const bool works = !fault || fault.kind->works;
  billing_.set_cause({{"id", call.request_id},
                      {"idempotency_key", keyed ? json(call.idempotency_key) : json(nullptr)}});
  Reply reply = works ? route(call) : reply_of(fault);
  keep_changes();
  const bool fails_after = works && fault && fault.kind->kept == Kept::kFault;
  if (fails_after && reply.keep == Keep::kYes) reply = reply_of(fault);
  complete(reply, call);
  // The second version replays no failure: the work is done anew.
  const bool is_second = call.path.starts_with("/v2/");
  const bool forgets =
      (fault && fault.kind->kept == Kept::kNothing) || (is_second && reply.status >= 300);
  const std::int64_t until = now() + (is_second ? kSecondIdempotencySeconds : kIdempotencySeconds);
  if (!keyed || forgets || reply.keep == Keep::kNo) return reply;
  journal_.add({{"key", call.idempotency_key},
                {"fingerprint", fingerprint},
                {"status", reply.status},
                {"body", reply.body},
                {"headers", reply.headers},
                {"created", now()},
                {"until", until}});
  keys_.keep(call.idempotency_key, fingerprint, reply, now(), until, call.at + call.delay);
  return reply;
}

// Whether the fault did what its name says; one that did not changes nothing.
bool Sandbox::took_effect(const Fault& fault, const Reply& reply) {
  const FaultKind& kind = *fault.kind;
  const bool replayed = reply.headers.contains("Idempotent-Replayed");
  if (strikes_before(fault) || kind.name == "delay_ms") return true;
  if (kind.kept == Kept::kFault) return reply.status == kind.status && !replayed;
  if (kind.rejects_later) return reply.rejects_later;
  // After something that the endpoint decided, now or when the key was first used.
  return reply.keep == Keep::kYes;
}

// What is the same when a client sends a thing again, under whatever key.
std::string Sandbox::identity_of(const Call& call) {
  return fmt::format("{} {} {}", call.method, call.path,
                     call.form.get("identifier", call.form.fingerprint() + call.body));
}

// What Stripe adds to every error of /v1, once: a replayed one keeps its own.
void Sandbox::complete(Reply& reply, const Call& call) const {
  if (!reply.body.is_object() || !reply.body.contains("error") || !call.path.starts_with("/v1/")) {
    return;
  }
  json& error = reply.body["error"];
  if (error.contains("request_log_url")) return;
  error["request_log_url"] = "https://dashboard.stripe.com/test/logs/" + call.request_id;
  std::string code = behaviour_.shown_code(error.value("code", ""));
  error.erase("code");
  if (code.empty()) return;
  error["code"] = code;
  std::replace(code.begin(), code.end(), '_', '-');
  error["doc_url"] = "https://stripe.com/docs/error-codes/" + code;
}

void Sandbox::replay(const json& line) {
  // Each line is of one kind.
  const auto is = [&](const char* kind) { return line.contains(kind); };
  if (is("meter")) {
    books_.put(meter_of(line["meter"]));
  } else if (is("customer")) {
    customers_.put(line["customer"]);
  } else if (is("billing")) {
    for (const json& document : line["billing"]) {
      if (document.at("object") == "delivery") webhooks_.restore(document);
      billing_.restore(document);
    }
  } else if (is("event")) {
    books_.accept(event_of(line["event"]));
  } else if (is("settled")) {
    replay_settled(line);
  } else if (is("report")) {
    reports_.restore(line["report"]);
  } else if (is("cancel")) {
    books_.cancel(line["cancel"].get<std::size_t>());
  } else if (is("settings")) {
    require("settings", behaviour_.change(line["settings"]));
  } else if (is("clock")) {
    replay_clock(line["clock"]);
  } else if (is("start")) {
    starts_ = line["start"].get<std::int64_t>();
  } else if (is("key")) {
    Reply reply{line.at("status"), line.at("body"), Keep::kYes,
                line.at("headers").get<std::map<std::string, std::string>>()};
    keys_.keep(line["key"], line.at("fingerprint"), std::move(reply), line.at("created"),
               line.at("until"), {});
  } else {
    throw std::runtime_error("a line of no known kind");
  }
}

void Sandbox::replay_settled(const json& line) {
  const std::size_t position = line["settled"];
  const json& reported = line.at("reported");
  books_.restore(position, event_of(line.at("as")));
  note(books_.event(position), reported.at("code"), reported.at("request"));
}

void Sandbox::replay_clock(const json& clock) {
  const json& frozen = clock.at("frozen");
  frozen_now_ = frozen.is_null() ? std::nullopt : std::optional(whole_number(frozen));
  clock_offset_s_ = whole_number(clock.at("offset"));
}

}  // namespace tally::sandbox
