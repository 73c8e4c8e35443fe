// What the HTTP daemon does with a request, without sockets: `POST /v1/events` and
// `GET /openapi.json`.
//
// A body is checked whole before anything is sent: one event that breaks a rule, or is another
// tenant's than its key's, and nothing is taken. 202 means that every event is kept at the level of
// the sink. What a 503 `not_all_kept` names may be sent again: the aggregator counts an id once.
//
// What the head alone tells to be wrong is refused by admit(), before the body is read.
//
// Threads: admit() and handle() from any; the reply comes on the same thread or on the sink's.
// Lifetime: attach the sink before the first request; close() ends it, and with it every request
// that waits.
#pragma once

#include "core/timestamp.h"
#include "producer/event_sink.h"
#include "producer/serve/body_reader.h"
#include "producer/serve/in_flight.h"
#include "producer/serve/keys.h"
#include "producer/serve/probe.h"
#include "producer/serve/reply.h"
#include "runtime/http/http.h"

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace tally::producer::serve {

struct IntakeOptions {
  std::size_t max_batch = 10'000;  // events; 1 to core::kMaxServedBatchEvents
  InFlightLimits limits = {};      // of no fewer events than a batch may have, a key's bound too
  std::function<core::Timestamp()> now = {};  // the time of events that have none
};

class Intake {
 public:
  // `keys` and `probe` outlive it.
  Intake(IntakeOptions options, const Keys& keys, Probe& probe);
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // What the sink must be given to call.
  [[nodiscard]] EventSink::OnOutcome on_outcome();
  void attach(std::unique_ptr<EventSink> sink);

  // 401, 404, 405, 413 and 415, whatever the body will be; nullopt: the request is handle()'s, its
  // sender is in `head.grant`, and the account of what its tenant's keys are sending in
  // `head.account`.
  [[nodiscard]] std::optional<runtime::http::Response> admit(runtime::http::Request& head);
  // Of requests that admit() let in only.
  void handle(const runtime::http::Request& request, Reply reply);

  // From now on events are refused with 503 `stopping`; those that wait are answered as they end.
  void stop() { stopping_ = true; }
  // Ends the sink. No handle() may be running or follow.
  void close();

  [[nodiscard]] const InFlight& in_flight() const { return in_flight_; }
  // The key or token that a request shows; nullptr: it may not send.
  [[nodiscard]] SenderPtr sender_of(const runtime::http::Request& request) const;

 private:
  [[nodiscard]] std::optional<runtime::http::Response> refusal_of(
      runtime::http::Request& head) const;
  void post_events(const runtime::http::Request& request, Reply& reply);
  void send(const BodyReader& body, const SenderPtr& sender, Reply& reply);
  struct Offering {
    std::size_t next = 0;     // event that has neither been offered nor missed
    bool is_in_sink = false;  // the next one is being offered
  };
  void offer_all(const BodyReader& body, InFlight::Ticket ticket);
  void offer_each(const BodyReader& body, InFlight::Ticket ticket, Offering& offering);
  void answer(Reply& reply, runtime::http::Response response);

  const IntakeOptions options_;
  const Keys& keys_;
  Probe& probe_;
  std::atomic<bool> stopping_{false};
  InFlight in_flight_;
  std::unique_ptr<EventSink> sink_;  // last: it calls back until it is gone
};

}  // namespace tally::producer::serve
