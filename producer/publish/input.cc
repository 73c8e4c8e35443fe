#include "producer/publish/input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace tally::producer::publish {
namespace {

constexpr int kPollMs = 100;

}  // namespace

Input::Input(int descriptor) : descriptor_(descriptor) { look_at_size(); }

Input::Input(const std::string& path)
    : descriptor_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
      ours_(path != "-") {
  if (descriptor_ < 0) {
    throw std::system_error(errno, std::generic_category(), path + " cannot be opened");
  }
  look_at_size();
}

Input::~Input() {
  if (ours_) ::close(descriptor_);
}

void Input::look_at_size() {
  struct stat about = {};
  if (::fstat(descriptor_, &about) == 0 && S_ISREG(about.st_mode)) {
    size_ = static_cast<std::uint64_t>(about.st_size);
  }
}

Input::Got Input::read(std::span<char> to, std::size_t& bytes) {
  bytes = 0;
  if (at_end_) return Got::kEnd;
  for (;;) {
    pollfd wait{descriptor_, POLLIN, 0};
    const int ready = ::poll(&wait, 1, kPollMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (!keep_waiting_()) return Got::kStopped;
      continue;
    }
    const ssize_t got = ::read(descriptor_, to.data(), to.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), "reading failed");
    at_end_ = got == 0;
    if (at_end_) return Got::kEnd;
    bytes = static_cast<std::size_t>(got);
    bytes_read_ += bytes;
    return Got::kBytes;
  }
}

}  // namespace tally::producer::publish
