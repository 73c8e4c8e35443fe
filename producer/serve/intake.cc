#include "producer/serve/intake.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/serve/openapi.h"
#include "producer/serve/problem.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <array>
#include <exception>
#include <optional>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::http::Request;
using runtime::http::Response;

constexpr std::string_view kBearer = "Bearer ";

enum class BodyKind { kEvent, kBatch, kLines, kBinary, kOther };

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool has_attributes(const Request& request) {
  return !request.header("ce-specversion").empty() || !request.header("ce-id").empty();
}

BodyKind kind_of(const Request& request) {
  const std::string_view given = request.header("Content-Type");
  const std::string_view type = trimmed(given.substr(0, given.find(';')));
  const auto is = [type](std::string_view name) {
    return runtime::http::equal_without_case(type, name);
  };
  if (is("application/json")) {
    return has_attributes(request) ? BodyKind::kBinary : BodyKind::kEvent;
  }
  if (is("application/cloudevents+json")) return BodyKind::kEvent;
  if (is("application/cloudevents-batch+json")) return BodyKind::kBatch;
  if (is("application/x-ndjson")) return BodyKind::kLines;
  return BodyKind::kOther;
}

std::optional<Response> media_type_problem(const Request& request, BodyKind kind) {
  if (kind == BodyKind::kOther) {
    return refuse(kMediaType,
                  "set Content-Type to application/cloudevents+json, "
                  "application/cloudevents-batch+json, application/x-ndjson or application/json");
  }
  const std::string_view coding = request.header("Content-Encoding");
  if (!coding.empty() && !runtime::http::equal_without_case(coding, "identity")) {
    return refuse(kMediaType, "Content-Encoding is not read: send the body uncompressed");
  }
  return std::nullopt;
}

Response openapi_answer() {
  Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = openapi();
  return response;
}

void read(const Request& request, BodyKind kind, const BodyRules& rules, BodyReader& body) {
  TALLY_CHECK(kind != BodyKind::kOther, "{} was not admitted", request.target);
  switch (kind) {
    case BodyKind::kEvent:
      return body.read_event(request.body, rules);
    case BodyKind::kBatch:
      return body.read_batch(request.body, rules);
    case BodyKind::kLines:
      return body.read_lines(request.body, rules);
    case BodyKind::kBinary:
      return body.read_binary(request.headers, request.body, rules);
    case BodyKind::kOther:
      break;
  }
}

// Of a larger body the reader's memory is given back: members' names and escaped strings may take
// several times its bytes.
constexpr std::size_t kKeptForBytes = 1024 * 1024;

// Its memory is kept for the thread's next request, up to what a usual batch needs.
std::optional<BodyReader>& reader_of_this_thread() {
  thread_local std::optional<BodyReader> reader;
  return reader;
}

class ReaderForOneBody {
 public:
  explicit ReaderForOneBody(std::size_t bytes) : is_kept_(bytes <= kKeptForBytes) {
    if (!reader_) reader_.emplace();
  }
  ~ReaderForOneBody() {
    if (!is_kept_) reader_.reset();  // assigned to, its strings would keep their memory
  }
  ReaderForOneBody(const ReaderForOneBody&) = delete;
  ReaderForOneBody& operator=(const ReaderForOneBody&) = delete;
  [[nodiscard]] BodyReader& get() { return *reader_; }

 private:
  const bool is_kept_;
  std::optional<BodyReader>& reader_ = reader_of_this_thread();
};

}  // namespace

Intake::Intake(IntakeOptions options, const Keys& keys, Probe& probe)
    : options_(std::move(options)), keys_(keys), probe_(probe), in_flight_(options_.limits, probe) {
  TALLY_CHECK(options_.max_batch >= 1 && options_.max_batch <= core::kMaxServedBatchEvents, "{}",
              options_.max_batch);
  TALLY_CHECK(options_.limits.events >= options_.max_batch, "{} {}", options_.limits.events,
              options_.max_batch);
  const std::uint64_t of_a_key = options_.limits.events_of_a_key;
  TALLY_CHECK(of_a_key == 0 || of_a_key >= options_.max_batch, "{} {}", of_a_key,
              options_.max_batch);
}

Intake::~Intake() = default;

EventSink::OnOutcome Intake::on_outcome() {
  return [this](const SinkOutcome& outcome) { in_flight_.ended(outcome); };
}

void Intake::attach(std::unique_ptr<EventSink> sink) { sink_ = std::move(sink); }

void Intake::close() { sink_.reset(); }

SenderPtr Intake::sender_of(const Request& request) const {
  std::string_view given = request.header("Authorization");
  if (given.size() > kBearer.size() &&
      runtime::http::equal_without_case(given.substr(0, kBearer.size()), kBearer)) {
    given.remove_prefix(kBearer.size());
  } else {
    given = request.header("X-API-Key");
  }
  return keys_.find(trimmed(given));
}

void Intake::answer(Reply& reply, Response response) {
  probe_.answered(response.status);
  std::move(reply).send(std::move(response));
}

std::optional<Response> Intake::admit(Request& head) {
  std::optional<Response> refused = refusal_of(head);
  if (refused) probe_.answered(refused->status);
  return refused;
}

std::optional<Response> Intake::refusal_of(Request& head) const {
  const std::string_view path = head.path();
  if (path == "/openapi.json") return refuse_all_but_reading(head);
  if (path != "/v1/events") {
    return refuse(kNotFound, "there are /v1/events, /openapi.json, /healthz, /readyz and /metrics");
  }
  if (head.method != "POST") {
    Response refused = refuse(kMethod, "send events by POST");
    refused.headers.set("Allow", "POST");
    return refused;
  }
  if (head.headers.count("Authorization") + head.headers.count("X-API-Key") > 1) {
    return refuse(kBadRequest, "give one key: Authorization or X-API-Key, once");
  }
  SenderPtr sender = sender_of(head);
  if (sender == nullptr) {
    return refuse(kUnauthorized, "send the key as Authorization: Bearer KEY, or as X-API-Key");
  }
  // A share of the bodies that arrive, so that no tenant can keep the others out. The token is the
  // operator's own, and has none.
  head.account = sender->receiving;
  head.grant = std::move(sender);
  return media_type_problem(head, kind_of(head));
}

void Intake::handle(const Request& request, Reply reply) {
  if (request.path() == "/openapi.json") return answer(reply, openapi_answer());
  post_events(request, reply);
}

void Intake::post_events(const Request& request, Reply& reply) {
  const auto sender = std::static_pointer_cast<Sender>(request.grant);
  TALLY_CHECK(sender != nullptr, "{} was not admitted", request.target);
  if (stopping_) return answer(reply, refuse(kStopping, "send it to another instance, or later"));
  ReaderForOneBody reader(request.body.size());
  BodyReader& body = reader.get();
  read(request, kind_of(request), {.max_events = options_.max_batch, .tenant = sender->tenant},
       body);
  if (body.too_many()) {
    const std::string members = fmt::format(",\"limit\":{}", options_.max_batch);
    return answer(reply, refuse(kTooLarge,
                                fmt::format("the batch has more than {} events: send fewer at once",
                                            options_.max_batch),
                                members));
  }
  if (!body.problems().empty()) {
    probe_.refused("invalid", body.events().size() + body.problems().size());
    return answer(reply, refuse_events(body.problems(), body.stopped_early()));
  }
  // Most likely what sends has lost them: 202 would say that they are kept.
  if (body.events().empty()) return answer(reply, refuse(kInvalid, "no event in the body"));
  if (const auto index = body.of_other_tenant()) {
    probe_.refused("other_tenant", body.events().size());
    return answer(
        reply, refuse(kOtherTenant,
                      fmt::format("event {}: its subject is not the tenant that the key is bound "
                                  "to; nothing was taken",
                                  *index),
                      fmt::format(",\"index\":{}", *index)));
  }
  send(body, sender, reply);
}

void Intake::send(const BodyReader& body, const SenderPtr& sender, Reply& reply) {
  InFlight::Load load;
  for (const ReadEvent& event : body.events()) load.bytes += event.id.size() + event.text.size();
  load.events = body.events().size();
  InFlight::Ticket ticket = 0;
  switch (in_flight_.begin(load, sender, reply, ticket)) {
    case InFlight::Began::kYes:
      return offer_all(body, ticket);
    case InFlight::Began::kFull:
      probe_.refused("full", load.events);
      return answer(reply,
                    refuse(kQueueFull, "too many events are on their way: send it again later"));
    case InFlight::Began::kKeyFull:
      probe_.refused("full", load.events);
      return answer(reply,
                    refuse(kTooManyInFlight,
                           fmt::format("the key may have {} events and {} requests on their way at "
                                       "once: wait for the answers of those before",
                                       options_.limits.events_of_a_key,
                                       options_.limits.requests_of_a_key())));
  }
}

// Whatever happens within it, each event ends once and the request is answered.
void Intake::offer_all(const BodyReader& body, InFlight::Ticket ticket) {
  Offering offering;
  try {
    offer_each(body, ticket, offering);
  } catch (const std::exception& failure) {
    // The one that the sink was being offered may be taken.
    for (bool unknown = offering.is_in_sink; offering.next < body.events().size();
         unknown = false) {
      in_flight_.missed(ticket, offering.next++, unknown ? Fate::kUnknown : Fate::kNotKept,
                        "failed");
    }
    in_flight_.offered(ticket);
    runtime::log::error("events not offered", {{"problem", failure.what()}});
    return;
  }
  in_flight_.offered(ticket);
}

void Intake::offer_each(const BodyReader& body, InFlight::Ticket ticket, Offering& offering) {
  // One moment for the whole body: that of its acceptance.
  std::array<char, core::kMaxRfc3339Bytes> text{};
  const std::string_view now(text.data(), core::write_rfc3339(options_.now(), text));
  thread_local std::string room;
  const auto events = body.events();
  std::string_view stopped;  // why nothing further is offered
  std::size_t& i = offering.next;
  for (; i < events.size(); ++i) {
    if (!stopped.empty()) {
      in_flight_.missed(ticket, i, Fate::kNotKept, stopped);
      continue;
    }
    const SinkEvent event{events[i].id, stamped(events[i], now, room), InFlight::tag(ticket, i)};
    offering.is_in_sink = true;
    const Offered offered = sink_->offer(event);
    offering.is_in_sink = false;
    switch (offered) {
      case Offered::kAccepted:
        break;
      case Offered::kTooLarge:
        in_flight_.missed(ticket, i, Fate::kNotKept, "too_large");
        break;
      case Offered::kFull:
        stopped = "queue_full";
        in_flight_.missed(ticket, i, Fate::kNotKept, stopped);
        break;
      case Offered::kClosed:
        stopped = "closed";
        in_flight_.missed(ticket, i, Fate::kNotKept, stopped);
        break;
    }
  }
}

}  // namespace tally::producer::serve
