// producer/serve/body_reader.h: what a body gives is what core reads by itself, whole and in order,
// and an array and lines of the same events give the same.
#include "producer/serve/body_reader.h"

#include "core/check.h"
#include "core/usage_event.h"
#include "tests/fuzz/target.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace tally::fuzz {
namespace {

using producer::serve::BodyReader;
using producer::serve::BodyRules;

constexpr std::string_view kTime = "2026-11-22T08:00:00Z";
constexpr BodyRules kRules{.max_events = 8, .tenant = {}};

// Each event that would be sent is one that `publish` would send, under the same key, with a time.
void check_events(const BodyReader& body) {
  std::string room;
  for (const auto& event : body.events()) {
    const auto read = core::parse_structured(stamped(event, kTime, room));
    TALLY_CHECK(read, "{}: {}", read.error().message, stamped(event, kTime, room));
    TALLY_CHECK(read.value().id == event.id, "{} {}", read.value().id, event.id);
    TALLY_CHECK(read.value().time.has_value());
    const auto came = core::parse_structured(event.text);
    TALLY_CHECK(came && came.value().data == read.value().data, "{}", event.text);
    TALLY_CHECK(came.value().time.has_value() == event.has_time, "{}", event.text);
  }
  TALLY_CHECK(body.problems().size() <= producer::serve::kMaxProblems);
}

bool taken(const BodyReader& body) { return body.problems().empty() && !body.too_many(); }

}  // namespace

void one_input(std::string_view input) {
  static BodyReader body;
  static BodyReader other;
  body.read_event(input, kRules);
  check_events(body);
  TALLY_CHECK(!taken(body) || core::parse_structured(input), "{}", input);
  if (taken(body)) {
    const std::string text(body.events().front().text);
    const std::string twice = "[" + text + "," + text + "]";
    other.read_batch(twice, kRules);
    TALLY_CHECK(taken(other) && other.events().size() == 2, "{}", text);
    TALLY_CHECK(other.events()[1].text == text && other.events()[1].id == body.events()[0].id);
  }
  body.read_batch(input, kRules);
  check_events(body);
  body.read_lines(input, kRules);
  check_events(body);
  // A line of headers, the rest data.
  const std::size_t end = std::min(input.find('\n'), input.size());
  runtime::http::Headers headers;
  headers.add("ce-specversion", "1.0");
  headers.add("ce-id", input.substr(0, end));
  headers.add("ce-source", "/s");
  headers.add("ce-type", "t");
  headers.add("ce-subject", input.substr(0, end / 2));
  body.read_binary(headers, input.substr(end), kRules);
  check_events(body);
}

}  // namespace tally::fuzz
