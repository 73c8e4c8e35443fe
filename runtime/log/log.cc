#include "runtime/log/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <mutex>

namespace tally::runtime::log {
namespace {

enum class Form { kJson, kPlain, kColoured };

struct Sink {
  std::mutex mutex;
  std::string program = "tally";
  std::atomic<Level> threshold = Level::kInfo;
  Form form = Form::kJson;
};

// Logging has to work before main and in the last moments of the process, hence the one static.
Sink& sink() {
  static Sink* const instance = new Sink;
  return *instance;
}

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "?";
}

// The length of the valid UTF-8 character at the front of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  const bool too_high = lead == 0xf4 && byte(1) >= 0x90;
  return overlong || surrogate || too_high ? 0 : length;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

void append_member(std::string& out, std::string_view key, std::string_view value) {
  out += out.size() == 1 ? "\"" : ",\"";
  append_escaped(out, key);
  out += "\":\"";
  append_escaped(out, value);
  out += '"';
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms);
}

std::string plain_line(Form form, Level level, std::string_view event,
                       std::initializer_list<Field> fields) {
  static constexpr std::string_view kColours[] = {"\x1b[2m", "\x1b[36m", "\x1b[33m", "\x1b[31m"};
  const bool coloured = form == Form::kColoured;
  std::string out = now_text().substr(11, 12);
  out += ' ';
  if (coloured) out += kColours[static_cast<int>(level)];
  fmt::format_to(std::back_inserter(out), "{:<5}", level_name(level));
  if (coloured) out += "\x1b[0m";
  out += ' ';
  append_escaped(out, event);
  for (const Field& field : fields) {
    out += coloured ? "  \x1b[2m" : "  ";
    append_escaped(out, field.key);
    out += coloured ? "=\x1b[0m" : "=";
    append_escaped(out, field.value);
  }
  return out;
}

void write_whole(std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads stderr any more: the service matters more
    line.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string json_line(std::string_view time, std::string_view program, Level level,
                      std::string_view event, std::initializer_list<Field> fields) {
  std::string out = "{";
  append_member(out, "time", time);
  append_member(out, "level", level_name(level));
  append_member(out, "program", program);
  append_member(out, "event", event);
  for (const Field& field : fields) append_member(out, field.key, field.value);
  out += '}';
  return out;
}

void init(std::string_view program) {
  Sink& target = sink();
  const std::lock_guard lock(target.mutex);
  target.program = program;
  const std::string_view level = environment("TALLY_LOG_LEVEL");
  target.threshold = level == "debug"   ? Level::kDebug
                     : level == "warn"  ? Level::kWarn
                     : level == "error" ? Level::kError
                                        : Level::kInfo;
  const std::string_view form = environment("TALLY_LOG");
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const bool coloured = terminal && environment("NO_COLOR").empty();
  target.form = form == "json" || (form != "text" && !terminal) ? Form::kJson
                : coloured                                      ? Form::kColoured
                                                                : Form::kPlain;
}

void write(Level level, std::string_view event, std::initializer_list<Field> fields) {
  Sink& target = sink();
  if (level < target.threshold.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(target.mutex);
  std::string line = target.form == Form::kJson
                         ? json_line(now_text(), target.program, level, event, fields)
                         : plain_line(target.form, level, event, fields);
  line += '\n';
  write_whole(line);
}

}  // namespace tally::runtime::log
