// core/usage_event.h: what is read can be written, what is valid can be written and read, and
// nothing changes on the way.
#include "core/usage_event.h"

#include "core/check.h"
#include "tests/fuzz/event_of_lines.h"
#include "tests/fuzz/target.h"

#include <string>

namespace tally::fuzz {
namespace {

// White space around data belongs to nobody: validate() passes over it.
std::string_view trimmed(std::string_view data) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = data.find_first_not_of(kSpace);
  return data.substr(first, data.find_last_not_of(kSpace) + 1 - first);
}

void check_comes_back(const core::UsageEvent& event) {
  std::string text;
  core::append_structured(event, text);
  const auto again = core::parse_structured(text);
  TALLY_CHECK(again, "refused after it was validated: {}: {}", again.error().message, text);
  const core::UsageEvent& read = again.value();
  TALLY_CHECK(read.id == event.id && read.source == event.source && read.type == event.type &&
                  read.subject == event.subject,
              "{}", text);
  TALLY_CHECK(read.time == event.time, "{}", text);
  TALLY_CHECK(read.data == trimmed(event.data), "{}", text);
}

}  // namespace

void one_input(std::string_view input) {
  if (const auto event = core::parse_structured(input)) {
    const auto valid = core::validate(event.value());
    TALLY_CHECK(valid, "read, but not valid: {}", valid.error().message);
    check_comes_back(event.value());
  }
  const core::UsageEvent event = event_of_lines(input);
  if (core::validate(event)) check_comes_back(event);
}

}  // namespace tally::fuzz
