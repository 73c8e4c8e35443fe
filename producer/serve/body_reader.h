// From a request's body to events that are ready for the sink: checked whole, by the rules of
// core/usage_event.h, before anything is sent; read in place, so that an event costs no copy and no
// allocation of its own.
//
// Threads: one reader per thread. Lifetime: what a read gave points into the body, the headers or
// the reader, and lives until the next one.
#pragma once

#include "core/event_reader.h"
#include "producer/serve/problem.h"
#include "runtime/http/http.h"

#include <cstddef>
#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::serve {

struct ReadEvent {
  std::string_view id;
  std::string_view text;       // the structured CloudEvent as it came
  std::string_view null_time;  // as core::EventView's
  bool has_time = false;
};

struct BodyRules {
  std::size_t max_events = 1;
  std::string_view tenant = {};  // not empty: the only one whose events may be sent
};

// Problems of a body after which the reader looks no further.
inline constexpr std::size_t kMaxProblems = 100;

class BodyReader {
 public:
  // One of these, then the answers below. Structured: the body is the event.
  void read_event(std::string_view body, const BodyRules& rules);
  // A JSON array of events, or of none.
  void read_batch(std::string_view body, const BodyRules& rules);
  // An event a line; empty lines are passed over and not counted.
  void read_lines(std::string_view body, const BodyRules& rules);
  // CloudEvents' HTTP binary mode: attributes in `ce-*` headers, percent-encoded; the body is data.
  void read_binary(const runtime::http::Headers& headers, std::string_view body,
                   const BodyRules& rules);

  // The body may be taken when there is no problem, not too many events and no other tenant's.
  [[nodiscard]] std::span<const EventProblem> problems() const { return problems_; }
  [[nodiscard]] bool stopped_early() const { return stopped_early_; }  // at kMaxProblems
  [[nodiscard]] bool too_many() const { return too_many_; }
  [[nodiscard]] std::optional<std::size_t> of_other_tenant() const { return of_other_tenant_; }
  [[nodiscard]] std::span<const ReadEvent> events() const { return events_; }

 private:
  void start(std::string_view body, const BodyRules& rules);
  void add(const core::EventView& event, std::optional<core::EventFault> fault);
  void add_problem(core::EventFault fault);
  [[nodiscard]] bool may_read_on();
  void append_attribute(std::string_view header, std::string_view value);

  core::EventReader reader_;
  std::vector<ReadEvent> events_;
  std::vector<EventProblem> problems_;
  std::vector<std::string_view> names_;         // room
  std::forward_list<std::string> escaped_ids_;  // ids that had to be resolved
  std::string built_;                           // of binary mode
  std::string attribute_;                       // room
  std::string_view body_;
  BodyRules rules_;
  std::size_t seen_ = 0;
  bool utf8_ = true;
  bool stopped_early_ = false;
  bool too_many_ = false;
  std::optional<std::size_t> of_other_tenant_;
};

// The text that is sent: with `time` (RFC 3339) where the event has none. In `room` if so.
[[nodiscard]] std::string_view stamped(const ReadEvent& event, std::string_view time,
                                       std::string& room);

}  // namespace tally::producer::serve
