#include "tests/support/sandbox/journal.h"

#include "runtime/log/log.h"

#include <fmt/format.h>

namespace tally::sandbox {

using nlohmann::json;

Journal::Journal(const std::string& path, const std::function<void(const json&)>& replay)
    : keeps_(!path.empty()) {
  if (!keeps_) return;
  std::string intact;
  if (std::ifstream stream(path, std::ios::binary); stream) {
    for (std::string line; std::getline(stream, line);) {
      const json parsed = json::parse(line, nullptr, false);
      if (stream.eof() || parsed.is_discarded()) {
        if (!stream.eof() && stream.peek() != std::char_traits<char>::eof()) {
          throw std::runtime_error(
              fmt::format("{}: a line in the middle is no JSON; move the file away", path));
        }
        runtime::log::warn("the state file ended in a torn line, which is cut off",
                           {{"file", path}});
        break;
      }
      try {
        replay(parsed);
      } catch (const json::exception& problem) {
        throw std::runtime_error(fmt::format(
            "{}: a line of another version ({}); move the file away", path, problem.what()));
      }
      intact += line + "\n";
    }
  }
  stream_.open(path, std::ios::binary | std::ios::trunc);
  stream_ << intact << std::flush;
  if (!stream_) {
    throw std::runtime_error(fmt::format("cannot write {}; give a writable --state-file", path));
  }
}

void Journal::add(const json& line) {
  if (keeps_) unwritten_ += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

void Journal::flush() {
  if (unwritten_.empty()) return;
  stream_ << unwritten_ << std::flush;
  unwritten_.clear();
  if (!stream_) throw std::runtime_error("the state file cannot be written any more");
}

}  // namespace tally::sandbox
