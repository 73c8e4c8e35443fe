#include "producer/serve/probe.h"

namespace tally::producer::serve {
namespace {

constexpr const char* kAnswers = "tally_producer_http_answers_total";
constexpr const char* kAnswersHelp = "Answers of the HTTP daemon by status";
constexpr const char* kEvents = "tally_producer_http_events_total";
constexpr const char* kClosed = "tally_producer_http_connections_closed_total";
constexpr const char* kClosedHelp =
    "Connections closed beyond the bound (most of them with 503), or for want of memory";
constexpr const char* kEventsHelp =
    "Events that came over HTTP by what became of them; of invalid, other_tenant and full nothing "
    "was taken";

}  // namespace

Probe::Probe(runtime::metrics::Registry& registry)
    : kept_(registry.counter(kEvents, kEventsHelp, {{"end", "kept"}})),
      not_kept_(registry.counter(kEvents, kEventsHelp, {{"end", "not_kept"}})),
      unknown_(registry.counter(kEvents, kEventsHelp, {{"end", "unknown"}})),
      stray_ends_(registry.counter("tally_producer_http_stray_ends_total",
                                   "Ends of events that came twice or too late: a fault of the "
                                   "daemon; they ended nothing")),
      seconds_(registry.histogram("tally_producer_http_keep_seconds",
                                  "From a checked request to its last event's end",
                                  {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30})),
      events_in_flight_(registry.gauge("tally_producer_http_events_in_flight",
                                       "Events that came over HTTP and have not ended")),
      requests_in_flight_(registry.gauge("tally_producer_http_requests_in_flight",
                                         "Requests whose events have not all ended")),
      keys_(registry.gauge("tally_producer_http_keys", "API keys that may send events")),
      too_many_(registry.counter(kClosed, kClosedHelp, {{"reason", "too_many"}})),
      no_memory_(registry.counter(kClosed, kClosedHelp, {{"reason", "no_memory"}})) {
  for (const int status :
       {200, 202, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 422, 429, 431, 500, 501, 503}) {
    answers_.emplace(
        status, registry.counter(kAnswers, kAnswersHelp, {{"status", std::to_string(status)}}));
  }
  for (const char* why : {"invalid", "other_tenant", "full"}) {
    refused_.emplace(why, registry.counter(kEvents, kEventsHelp, {{"end", why}}));
  }
}

void Probe::answered(int status) { answers_.at(status).add(); }

void Probe::ended(const EventEnds& ends, std::chrono::steady_clock::duration took) {
  kept_.add(static_cast<double>(ends.kept));
  if (ends.not_kept > 0) not_kept_.add(static_cast<double>(ends.not_kept));
  if (ends.unknown > 0) unknown_.add(static_cast<double>(ends.unknown));
  seconds_.observe(std::chrono::duration<double>(took).count());
}

void Probe::refused(const std::string& why, std::size_t events) {
  refused_.at(why).add(static_cast<double>(events));
}

void Probe::stray_end() { stray_ends_.add(); }

void Probe::in_flight(std::uint64_t events, std::size_t requests) {
  events_in_flight_.set(static_cast<double>(events));
  requests_in_flight_.set(static_cast<double>(requests));
}

void Probe::keys(std::size_t count) { keys_.set(static_cast<double>(count)); }

void Probe::closed(const ConnectionsClosed& so_far) {
  too_many_.add(static_cast<double>(so_far.too_many - closed_.too_many));
  no_memory_.add(static_cast<double>(so_far.no_memory - closed_.no_memory));
  closed_ = so_far;
}

}  // namespace tally::producer::serve
