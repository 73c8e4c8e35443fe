#include "producer/publish/input.h"

#include "runtime/crypto/crypto.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <tuple>

namespace tally::producer::publish {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 100;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string hash_of(std::string_view head) {
  return runtime::crypto::to_hex(runtime::crypto::hmac_sha256("tally-publish-head", head));
}

bool is_file(const struct stat& about, std::uint64_t device, std::uint64_t inode) {
  return about.st_dev == device && about.st_ino == inode;
}

struct Found {
  std::string name;
  struct stat about = {};
};

bool written_before(const Found& a, const Found& b) {
  const timespec& x = a.about.st_mtim;
  const timespec& y = b.about.st_mtim;
  return std::tie(x.tv_sec, x.tv_nsec) < std::tie(y.tv_sec, y.tv_nsec);
}

// By their last write.
std::vector<Found> files_in(const std::filesystem::path& folder) {
  std::vector<Found> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    Found file{entry.path().filename().string(), {}};
    if (::stat(entry.path().c_str(), &file.about) == 0 && S_ISREG(file.about.st_mode)) {
      out.push_back(std::move(file));
    }
  }
  std::sort(out.begin(), out.end(), written_before);
  return out;
}

bool is_compressed(std::string_view name) {
  return name.ends_with(".gz") || name.ends_with(".bz2") || name.ends_with(".xz") ||
         name.ends_with(".zst");
}

int open_to_read(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path.string() + " cannot be opened");
  return descriptor;
}

}  // namespace

FilePlace place_in(const FileMark& file, std::uint64_t offset, std::uint64_t line) {
  const std::uint64_t known = std::min<std::uint64_t>(offset, file.head.size());
  return {.device = file.device,
          .inode = file.inode,
          .head_bytes = known,
          .head_hash = hash_of(std::string_view(file.head).substr(0, known)),
          .offset = offset,
          .line = line};
}

Input::Input(int descriptor) { take(descriptor); }

Input::Input(const std::string& path, std::optional<Follow> follow)
    : path_(path), follow_(follow), ours_(path != "-") {
  take(ours_ ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO);
}

Input::~Input() {
  for (const int descriptor : later_) ::close(descriptor);
  if (ours_) ::close(descriptor_);
}

void Input::take(int descriptor) {
  if (descriptor < 0) fail(path_ + " cannot be opened");
  if (ours_ && descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = descriptor;
  struct stat about = {};
  if (::fstat(descriptor_, &about) != 0) fail(path_ + " cannot be looked at");
  regular_ = S_ISREG(about.st_mode);
  size_ = regular_ ? static_cast<std::uint64_t>(about.st_size) : 0;
  at_ = 0;
  file_ = std::make_shared<FileMark>(FileMark{about.st_dev, about.st_ino, {}});
  renamed_.reset();
}

std::size_t Input::read_some(std::span<char> to) const {
  for (;;) {
    const ssize_t got = ::read(descriptor_, to.data(), to.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) fail("reading failed");
  }
}

void Input::note(std::span<const char> bytes) {
  if (at_ == file_->head.size() && at_ < FileMark::kMaxHeadBytes) {
    file_->head.append(bytes.data(),
                       std::min<std::size_t>(bytes.size(), FileMark::kMaxHeadBytes - at_));
  }
  at_ += bytes.size();
  bytes_read_ += bytes.size();
}

Input::Got Input::read(std::span<char> to, std::size_t& bytes) {
  bytes = 0;
  if (at_end_) return Got::kEnd;
  const Got got = regular_ ? read_regular(to, bytes) : read_pipe(to, bytes);
  note(to.first(bytes));
  at_end_ = got == Got::kEnd;
  return got;
}

Input::Got Input::read_pipe(std::span<char> to, std::size_t& bytes) {
  for (;;) {
    pollfd wait{descriptor_, POLLIN, 0};
    const int ready = ::poll(&wait, 1, kPollMs);
    if (ready > 0) {
      bytes = read_some(to);
      return bytes == 0 ? Got::kEnd : Got::kBytes;
    }
    if (!keep_waiting_()) return Got::kStopped;
  }
}

Input::Got Input::read_regular(std::span<char> to, std::size_t& bytes) {
  for (;;) {
    const auto looked = Clock::now();
    bytes = read_some(to);
    if (bytes > 0) return Got::kBytes;
    if (!follow_) return Got::kEnd;
    if (was_emptied()) {
      if (::lseek(descriptor_, 0, SEEK_SET) < 0) fail("reading failed");
      at_ = 0;
      file_ = std::make_shared<FileMark>(FileMark{file_->device, file_->inode, {}});
      return Got::kNewFile;
    }
    if (change_to_new_file(looked)) return Got::kNewFile;
    ::poll(nullptr, 0, kPollMs);
    if (!keep_waiting_()) return Got::kStopped;
  }
}

bool Input::was_emptied() const {
  struct stat about = {};
  return ::fstat(descriptor_, &about) == 0 && static_cast<std::uint64_t>(about.st_size) < at_;
}

// `looked`: when the file at hand was known to have no more.
bool Input::change_to_new_file(Clock::time_point looked) {
  struct stat about = {};
  if (::stat(path_.c_str(), &about) != 0 || is_file(about, file_->device, file_->inode)) {
    renamed_.reset();
    return false;
  }
  if (!renamed_) renamed_ = Clock::now();
  if (looked < *renamed_ + follow_->grace) return false;
  if (!later_.empty()) {
    take(later_.front());
    later_.erase(later_.begin());
    return true;
  }
  const int next = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (next < 0 && errno == ENOENT) return false;
  take(next);
  return true;
}

// The file in the folder that is the place's, and those that had the name after it.
core::Result<void> Input::find_rotated(const FilePlace& place) {
  const std::filesystem::path path = std::filesystem::absolute(path_);
  const auto files = files_in(path.parent_path());
  const auto old = std::find_if(files.begin(), files.end(), [&](const Found& file) {
    return is_file(file.about, place.device, place.inode);
  });
  if (old == files.end()) return boost::outcome_v2::success();
  const std::string name = path.filename().string();
  for (const Found& file : files) {
    const bool had_name = file.name.starts_with(name) && file.name != name;
    if (!had_name || &file == &*old || written_before(file, *old)) continue;
    if (is_compressed(file.name)) {
      return core::invalid(
          fmt::format("{} was written after what the state tells of, and is compressed: unpack it "
                      "there, so that "
                      "it is read in its turn",
                      file.name));
    }
    later_.push_back(open_to_read(path.parent_path() / file.name));
  }
  take(open_to_read(path.parent_path() / old->name));
  return boost::outcome_v2::success();
}

core::Result<void> Input::check(const FilePlace& place, const std::string& path) const {
  const auto other = [&](std::string_view why) {
    return core::invalid(
        fmt::format("the state is of another file than {}, which {}: give each file a state of its "
                    "own, or remove it to begin at the file's start (what was published before is "
                    "counted once)",
                    path, why));
  };
  if (file_->device != place.device || file_->inode != place.inode) {
    return other(fmt::format("is inode {}, not {}", file_->inode, place.inode));
  }
  if (size_ < place.offset) {
    return other(fmt::format("has {} bytes, of which {} were published", size_, place.offset));
  }
  std::string head(place.head_bytes, '\0');
  char last = '\n';
  const bool read =
      place.head_bytes <= FileMark::kMaxHeadBytes &&
      ::pread(descriptor_, head.data(), head.size(), 0) == static_cast<ssize_t>(head.size()) &&
      (place.offset == 0 ||
       ::pread(descriptor_, &last, 1, static_cast<off_t>(place.offset) - 1) == 1);
  if (!read || hash_of(head) != place.head_hash) return other("begins with other bytes");
  if (last != '\n' && place.offset < size_) {
    return other(fmt::format("has no line that begins at byte {}", place.offset));
  }
  return boost::outcome_v2::success();
}

core::Result<void> Input::find(const FilePlace& place) {
  if (!regular_) {
    return core::invalid("a state needs a file: a pipe has no place to go on at");
  }
  if (follow_ && (file_->device != place.device || file_->inode != place.inode)) {
    const auto found = find_rotated(place);
    if (!found) return found;
  }
  return check(place, path_);
}

void Input::seek(std::uint64_t offset) {
  std::string head(std::min<std::uint64_t>(offset, FileMark::kMaxHeadBytes), '\0');
  if (::pread(descriptor_, head.data(), head.size(), 0) != static_cast<ssize_t>(head.size()) ||
      ::lseek(descriptor_, static_cast<off_t>(offset), SEEK_SET) < 0) {
    fail("reading failed");
  }
  file_->head = std::move(head);
  at_ = offset;
  bytes_read_ = offset;
  at_end_ = false;
}

}  // namespace tally::producer::publish
