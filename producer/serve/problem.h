// What a request is refused with: problem+json (RFC 9457). schemas/http/ingest.json lists them all.
#pragma once

#include "core/event_reader.h"
#include "runtime/http/http.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tally::producer::serve {

// `code` is for programs and never changes; `title` is the same for each of a code.
struct Refusal {
  int status = 500;
  std::string_view code;
  std::string_view title;
};

inline constexpr Refusal kMalformed{400, "malformed", "The body cannot be read"};
inline constexpr Refusal kBadRequest{400, "bad_request",
                                     "The request is no HTTP/1.1, or says something twice"};
inline constexpr Refusal kUnauthorized{401, "unauthorized", "No key, or one that is not known"};
inline constexpr Refusal kOtherTenant{403, "other_tenant", "The key is bound to another tenant"};
inline constexpr Refusal kNotFound{404, "not_found", "There is no such path"};
inline constexpr Refusal kMethod{405, "method_not_allowed", "The path does not take this method"};
inline constexpr Refusal kTimeout{408, "timeout", "The request did not arrive in time"};
inline constexpr Refusal kTooLarge{413, "too_large", "The request is over a limit"};
inline constexpr Refusal kTargetTooLong{414, "target_too_long", "The target is over a limit"};
inline constexpr Refusal kMediaType{415, "unsupported_media_type", "The body is of another type"};
inline constexpr Refusal kExpectation{417, "expectation_failed", "The Expect header is not known"};
inline constexpr Refusal kInvalid{422, "invalid_events", "Nothing was taken: events break rules"};
inline constexpr Refusal kTooManyInFlight{429, "too_many_in_flight",
                                          "The key has too much on its way"};
inline constexpr Refusal kHeadersTooLarge{431, "headers_too_large", "The headers are over a limit"};
inline constexpr Refusal kFailed{500, "failed", "The server failed"};
inline constexpr Refusal kNotImplemented{501, "not_implemented",
                                         "The request needs what is not known here"};
inline constexpr Refusal kQueueFull{503, "queue_full", "Nothing was taken: queue full"};
inline constexpr Refusal kNotAllKept{503, "not_all_kept", "Not all events are kept"};
inline constexpr Refusal kClosed{503, "closed", "Nothing was taken: the server can keep nothing"};
inline constexpr Refusal kStopping{503, "stopping", "Nothing was taken: the server stops"};
inline constexpr Refusal kOverloaded{503, "overloaded",
                                     "The server has too many connections or bodies arriving"};

inline constexpr std::string_view kProblemType = "application/problem+json";

// What is wrong with one event of a body; events are counted from 0.
struct EventProblem {
  std::size_t index = 0;
  core::EventFault fault;
};

// `members`: further members of the object, each with a comma before it. A 503 or 429 says
// Retry-After: 1, a 401 what to authenticate with.
[[nodiscard]] runtime::http::Response refuse(const Refusal& refusal, std::string_view detail,
                                             std::string_view members = {});

// What the HTTP server answers by itself, before the intake sees a request.
[[nodiscard]] runtime::http::Response refuse_by_server(int status, std::string_view sentence);

// Of a path that is only read: kMethod for all but GET and HEAD, kTooLarge where a body follows.
// nullopt: it may be answered.
[[nodiscard]] std::optional<runtime::http::Response> refuse_all_but_reading(
    const runtime::http::Request& head);

// Of kMalformed, where one of them could not be read at all, else of kInvalid. Not empty.
[[nodiscard]] runtime::http::Response refuse_events(std::span<const EventProblem> problems,
                                                    bool there_may_be_more);

}  // namespace tally::producer::serve
