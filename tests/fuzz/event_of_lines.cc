#include "tests/fuzz/event_of_lines.h"

#include <algorithm>
#include <charconv>

namespace tally::fuzz {

core::UsageEvent event_of_lines(std::string_view input) {
  const auto next_line = [&input] {
    const std::string_view line = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(input.size(), line.size() + 1));
    return line;
  };
  core::UsageEvent event;
  event.id = next_line();
  event.source = next_line();
  event.type = next_line();
  event.subject = next_line();
  const std::string_view time = next_line();
  std::int64_t micros = 0;
  if (std::from_chars(time.data(), time.data() + time.size(), micros).ec == std::errc()) {
    event.time = core::Timestamp::from_micros(micros);
  }
  event.data = input;
  return event;
}

}  // namespace tally::fuzz
