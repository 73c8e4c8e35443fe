// The usage event: CloudEvents 1.0 with tally's reading of its attributes
// (schemas/events/README.md).
#pragma once

#include "core/result.h"
#include "core/timestamp.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

struct UsageEvent {
  std::string id;       // request id: with tenant, source and type the event's identity
  std::string source;   // the emitting service, never the host
  std::string type;     // what happened: "api.request"
  std::string subject;  // the tenant
  std::optional<Timestamp> time;
  std::string data;  // a JSON object's text
};

// Checks presence, lengths and UTF-8 of the attributes and that data is a JSON object; names the
// field and the limit. What passes here is never rejected by the aggregator for its envelope.
[[nodiscard]] Result<void> validate(const UsageEvent& event);

// The rules of validate() one by one, for whoever holds views; nullopt where nothing is wrong.
[[nodiscard]] std::optional<Error> attribute_error(std::string_view name, std::string_view value,
                                                   std::size_t max_bytes);
[[nodiscard]] std::optional<Error> time_error(Timestamp time);
// Of data's size, and that it begins as an object does.
[[nodiscard]] std::optional<Error> data_head_error(std::string_view json);
// `names` is room that the next call uses again: with it, what is right allocates nothing.
[[nodiscard]] std::optional<Error> data_error(std::string_view json,
                                              std::vector<std::string_view>& names);

// Appends the structured JSON form (application/cloudevents+json). The event must have passed
// validate().
void append_structured(const UsageEvent& event, std::string& out);

// Reads one structured CloudEvent (an NDJSON line): strict about the envelope as validate() is,
// keeps data's text untouched, passes over unknown extension attributes, refuses duplicate envelope
// attributes.
[[nodiscard]] Result<UsageEvent> parse_structured(std::string_view json);

}  // namespace tally::core
