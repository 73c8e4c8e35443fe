#include "producer/serve/problem.h"

#include "core/json_cursor.h"
#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace tally::producer::serve {
namespace {

using runtime::http::Request;
using runtime::http::Response;

constexpr std::size_t kMaxDetailBytes = 1'000;

void append_member(std::string_view name, std::string_view text, std::string& out) {
  out += fmt::format(",\"{}\":", name);
  // Some sentences quote what was sent, and cut it where it is long.
  if (text.size() <= kMaxDetailBytes && core::valid_utf8(text)) {
    core::append_json_string(text, out);
  } else {
    core::append_json_string(core::printable_ascii(text, kMaxDetailBytes), out);
  }
}

}  // namespace

Response refuse(const Refusal& refusal, std::string_view detail, std::string_view members) {
  Response response;
  response.status = refusal.status;
  response.headers.set("Content-Type", kProblemType);
  if (refusal.status == 503 || refusal.status == 429) response.headers.set("Retry-After", "1");
  if (refusal.status == 401) response.headers.set("WWW-Authenticate", "Bearer");
  std::string& out = response.body;
  out = fmt::format(R"({{"type":"urn:tally:problem:{}","title":"{}","status":{},"code":"{}")",
                    refusal.code, refusal.title, refusal.status, refusal.code);
  append_member("detail", detail, out);
  out += members;
  out += "}\n";
  return response;
}

Response refuse_by_server(int status, std::string_view sentence) {
  for (const Refusal& refusal :
       {kBadRequest, kTimeout, kTooLarge, kTargetTooLong, kExpectation, kTooManyInFlight,
        kHeadersTooLarge, kNotImplemented, kOverloaded}) {
    if (refusal.status == status) return refuse(refusal, sentence);
  }
  return refuse(kFailed, sentence);
}

std::optional<Response> refuse_all_but_reading(const Request& head) {
  if (head.method != "GET" && head.method != "HEAD") {
    Response refused = refuse(kMethod, "only GET and HEAD are answered here");
    refused.headers.set("Allow", "GET, HEAD");
    return refused;
  }
  const std::string_view length = head.header("Content-Length");
  if ((length.empty() || length == "0") && head.header("Transfer-Encoding").empty()) {
    return std::nullopt;
  }
  return refuse(kTooLarge, "this path takes no body");
}

Response refuse_events(std::span<const EventProblem> problems, bool there_may_be_more) {
  std::string members = ",\"problems\":[";
  for (const EventProblem& problem : problems) {
    if (members.back() == '}') members += ',';
    fmt::format_to(std::back_inserter(members), "{{\"index\":{}", problem.index);
    if (!problem.fault.field.empty()) append_member("field", problem.fault.field, members);
    if (problem.fault.limit > 0) {
      fmt::format_to(std::back_inserter(members), ",\"limit\":{}", problem.fault.limit);
    }
    append_member("detail", problem.fault.message, members);
    members += '}';
  }
  members += ']';
  const bool malformed = std::any_of(problems.begin(), problems.end(),
                                     [](const auto& one) { return one.fault.malformed; });
  const EventProblem& first = problems.front();
  const std::string detail = fmt::format(
      "event {}: {}{}", first.index, first.fault.message,
      there_may_be_more     ? fmt::format("; {} problems, and there may be more", problems.size())
      : problems.size() > 1 ? fmt::format("; {} problems", problems.size())
                            : "");
  return refuse(malformed ? kMalformed : kInvalid, detail, members);
}

}  // namespace tally::producer::serve
