// Structured logs on stderr: one JSON object a line when stderr is no terminal (or TALLY_LOG=json),
// short coloured lines otherwise (NO_COLOR honoured; TALLY_LOG=text forces them). A line is written
// at once and whole; line breaks and invalid UTF-8 in values are escaped, so one event is one line
// always. Values are strings in JSON. Any thread. Never pass a secret.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tally::runtime::log {

enum class Level { kDebug, kInfo, kWarn, kError };

struct Field {
  std::string_view key;
  std::string value;
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Field(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, std::same_as<bool> auto v) : key(k), value(v ? "true" : "false") {}
};

// Once, first thing in main(): `program` stands in every line. Level from TALLY_LOG_LEVEL (debug,
// info, warn, error; info unless set).
void init(std::string_view program);
// The line that write() would print, without its end of line. For tests.
[[nodiscard]] std::string json_line(std::string_view time, std::string_view program, Level level,
                                    std::string_view event, std::initializer_list<Field> fields);
void write(Level level, std::string_view event, std::initializer_list<Field> fields = {});
inline void debug(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::kDebug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::kInfo, event, fields);
}
inline void warn(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::kWarn, event, fields);
}
inline void error(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::kError, event, fields);
}

}  // namespace tally::runtime::log
