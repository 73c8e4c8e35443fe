#include "tests/fuzz/record_stream.h"

#include <algorithm>
#include <charconv>

namespace tally::fuzz {
namespace {

constexpr char kRecordSeparator = '\x1e';

// What stands before `end`, which goes with it.
std::string_view take_until(std::string_view& rest, char end) {
  const std::string_view taken = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(rest.size(), taken.size() + 1));
  return taken;
}

std::int64_t two_digits(std::string_view text) {
  unsigned number = 0;
  std::from_chars(text.data(), text.data() + std::min<std::size_t>(text.size(), 2), number);
  return number;
}

StreamRecord read_record(std::string_view text) {
  StreamRecord record;
  record.value = text;
  const std::size_t empty_line = text.find("\n\n");
  if (text.starts_with('{') || empty_line == std::string_view::npos) return record;
  record.value = text.substr(empty_line + 2);
  std::string_view lines = text.substr(0, empty_line);
  while (!lines.empty()) {
    std::string_view line = take_until(lines, '\n');
    const std::string_view name = take_until(line, ':');
    if (name == "@hours") {
      record.hours = two_digits(line);
    } else if (name == "@skip") {
      record.skip = two_digits(line);
    } else {
      record.headers.push_back({name, line});
    }
  }
  return record;
}

}  // namespace

std::vector<StreamRecord> read_stream(std::string_view input) {
  std::vector<StreamRecord> records;
  do {
    records.push_back(read_record(take_until(input, kRecordSeparator)));
  } while (!input.empty() && records.size() < kMaxRecords);
  return records;
}

}  // namespace tally::fuzz
