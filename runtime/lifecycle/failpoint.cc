#include "runtime/lifecycle/failpoint.h"

#include "runtime/log/log.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace tally::runtime::lifecycle {

namespace internal {
std::atomic<bool> failpoints_armed = false;
}

namespace {

constexpr std::int64_t kLongestSleepMs = 600'000;

enum class Action { kKill, kSleep, kError };

struct Armed {
  Action action = Action::kKill;
  std::int64_t sleep_ms = 0;
  std::int64_t at_hit = 0;  // 0: at each
  std::int64_t hits = 0;
};

using Table = std::map<std::string, Armed, std::less<>>;

std::mutex table_mutex;
Table table;

std::int64_t number(std::string_view text, std::int64_t max, std::string_view entry) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > max) {
    throw std::invalid_argument(
        fmt::format("TALLY_FAILPOINTS: in \"{}\", \"{}\" must be a whole number from 1 to {}",
                    entry, text, max));
  }
  return value;
}

Armed parse_action(std::string_view text, std::string_view entry) {
  Armed armed;
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    armed.at_hit = number(text.substr(at + 1), 1'000'000'000, entry);
    text = text.substr(0, at);
  }
  if (text == "kill") {
    armed.action = Action::kKill;
  } else if (text == "error") {
    armed.action = Action::kError;
  } else if (text.starts_with("sleep:")) {
    armed.action = Action::kSleep;
    armed.sleep_ms = number(text.substr(6), kLongestSleepMs, entry);
  } else {
    throw std::invalid_argument(fmt::format(
        "TALLY_FAILPOINTS: \"{}\" has no action that is known: use kill, sleep:MS or error",
        entry));
  }
  return armed;
}

Table parse_table(std::string_view specification) {
  Table parsed;
  while (!specification.empty()) {
    const std::string_view entry = specification.substr(0, specification.find(','));
    specification.remove_prefix(std::min(specification.size(), entry.size() + 1));
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw std::invalid_argument(
          fmt::format("TALLY_FAILPOINTS: \"{}\" is not of the form name=action", entry));
    }
    parsed[std::string(entry.substr(0, equals))] = parse_action(entry.substr(equals + 1), entry);
  }
  return parsed;
}

}  // namespace

namespace internal {

void hit_failpoint(std::string_view name) {
  Armed armed;
  {
    const std::lock_guard lock(table_mutex);
    const auto found = table.find(name);
    if (found == table.end()) return;
    armed = found->second;
    armed.hits = ++found->second.hits;
  }
  if (armed.at_hit != 0 && armed.hits != armed.at_hit) return;
  log::warn("failpoint strikes", {{"failpoint", name}, {"hit", armed.hits}});
  switch (armed.action) {
    case Action::kKill:
      std::raise(SIGKILL);
      return;
    case Action::kSleep:
      std::this_thread::sleep_for(std::chrono::milliseconds(armed.sleep_ms));
      return;
    case Action::kError:
      throw std::runtime_error(fmt::format("failpoint {}", name));
  }
}

}  // namespace internal

void arm_failpoints(std::string_view specification) {
  Table parsed = parse_table(specification);
  const std::lock_guard lock(table_mutex);
  table = std::move(parsed);
  internal::failpoints_armed = !table.empty();
}

void arm_failpoints_from_environment() {
  const char* specification = std::getenv("TALLY_FAILPOINTS");
  if (specification == nullptr || *specification == '\0') return;
  try {
    arm_failpoints(specification);
  } catch (const std::invalid_argument& problem) {
    log::error(problem.what());
    std::_Exit(2);
  }
  const std::lock_guard lock(table_mutex);
  for (const auto& [name, armed] : table) {
    log::warn("failpoint armed: this process will break on purpose (unset TALLY_FAILPOINTS)",
              {{"failpoint", name}, {"at_hit", armed.at_hit}});
  }
}

}  // namespace tally::runtime::lifecycle
