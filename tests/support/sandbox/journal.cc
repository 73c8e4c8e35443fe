#include "tests/support/sandbox/journal.h"

#include "runtime/log/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace tally::sandbox {
namespace {

using nlohmann::json;

// The first line; the number is of what the lines after it look like.
constexpr std::string_view kHead = R"({"sandbox_state":2})";

}  // namespace

Journal::Journal(const std::string& path, const std::function<void(const json&)>& replay)
    : path_(path) {
  if (path_.empty()) return;
  open();
  try {
    const std::int64_t intact = read(replay);
    if (::lseek(file_, 0, SEEK_END) > intact) cut(intact);
    if (intact == 0) write(fmt::format("{}\n", kHead));
  } catch (...) {
    ::close(file_);
    throw;
  }
}

Journal::~Journal() {
  if (file_ >= 0) ::close(file_);
}

void Journal::open() {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file_ < 0) {
    throw std::runtime_error(fmt::format("cannot write {}; give a writable --state-file", path_));
  }
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(file_);
  throw std::runtime_error(fmt::format("{}: another sandbox has this state file", path_));
}

std::int64_t Journal::read(const std::function<void(const json&)>& replay) const {
  std::ifstream stream(path_, std::ios::binary);
  std::int64_t intact = 0;
  std::int64_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    const bool torn = stream.eof();
    if (++number == 1) {
      if (torn && kHead.starts_with(line)) return 0;  // killed while it was made
      if (torn || line != kHead) {
        throw std::runtime_error(
            fmt::format("{}: not a state file of this version of the sandbox, which leaves it as "
                        "it is; move it away or give another --state-file",
                        path_));
      }
    } else if (torn) {
      return intact;
    } else {
      try {
        const json changes = json::parse(line);
        if (!changes.is_array() || changes.empty()) throw std::runtime_error("no list of changes");
        for (const json& change : changes) replay(change);
      } catch (const std::exception& problem) {
        throw std::runtime_error(
            fmt::format("{}:{}: {}; move the file away", path_, number, problem.what()));
      }
    }
    intact += static_cast<std::int64_t>(line.size()) + 1;
  }
  return intact;
}

void Journal::cut(std::int64_t bytes) const {
  if (::ftruncate(file_, bytes) != 0) {
    throw std::runtime_error(fmt::format("{}: its torn last line cannot be cut off", path_));
  }
  runtime::log::warn("the state file ended in a torn line, which is cut off", {{"file", path_}});
}

void Journal::add(const json& change) {
  if (path_.empty()) return;
  unwritten_ += unwritten_.empty() ? '[' : ',';
  unwritten_ += change.dump(-1, ' ', false, json::error_handler_t::replace);
}

void Journal::flush() {
  if (!unwritten_.empty()) unwritten_ += "]\n";
  write(std::exchange(unwritten_, ""));
}

void Journal::write(std::string_view text) {
  while (!failed_ && !text.empty()) {
    const ssize_t written = ::write(file_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    // What stands behind a torn line would be lost with it.
    failed_ = written < 0;
    if (!failed_) text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (failed_) {
    throw StateFileFull(
        fmt::format("{}: the state file takes no more; start again with room for it", path_));
  }
}

}  // namespace tally::sandbox
