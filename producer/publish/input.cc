#include "producer/publish/input.h"

#include "runtime/crypto/crypto.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace tally::producer::publish {
namespace {

constexpr int kPollMs = 100;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string hash_of(std::string_view head) {
  return runtime::crypto::to_hex(runtime::crypto::hmac_sha256("tally-publish-head", head));
}

}  // namespace

FilePlace place_in(const FileMark& file, std::uint64_t offset, std::uint64_t line) {
  const std::uint64_t known = std::min<std::uint64_t>(offset, file.head.size());
  return {.inode = file.inode,
          .head_bytes = known,
          .head_hash = hash_of(std::string_view(file.head).substr(0, known)),
          .offset = offset,
          .line = line};
}

Input::Input(int descriptor) { take(descriptor); }

Input::Input(const std::string& path, std::optional<Follow> follow)
    : path_(path), follow_(follow), ours_(path != "-") {
  if (follow_) later_.emplace(path_);
  if (is_followed()) later_->must_be_listed();
  if (follow_ && !later_->has_birth_times()) {
    troubles_.push_back(fmt::format(
        "the file system of {} keeps no birth times: rotated files are read in the order of their "
        "last write, and one that is written to late, or has the inode of one that was removed, "
        "may be passed over in silence",
        path_));
  }
  // Whoever opens a FIFO that nobody writes to would wait, and hear no signal.
  take(ours_ ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : STDIN_FILENO);
}

Input::~Input() {
  for (const Left& left : left_) ::close(left.descriptor);
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
  file_ = std::make_shared<FileMark>(FileMark{about.st_ino, {}});
  renamed_.reset();
  next_look_ = Clock::now();
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
    // It may have been emptied and have grown past the old place meanwhile.
    const bool waited = looked - last_read_ >= std::chrono::milliseconds(kPollMs);
    if (follow_ && waited && is_emptied()) return begin_again();
    bytes = read_some(to);
    last_read_ = Clock::now();
    if (bytes > 0) {
      if (renamed_ && is_followed()) renamed_ = last_read_;
      return Got::kBytes;
    }
    if (!follow_) return Got::kEnd;
    if (is_emptied()) return begin_again();
    if (follow_->to_end) next_look_ = looked;
    watch();
    if (follow_->to_end && later_->empty()) {
      if (later_->problem()) throw std::system_error(*later_->problem());
      return Got::kEnd;
    }
    if (change_to_new_file(looked)) return Got::kNewFile;
    ::poll(nullptr, 0, kPollMs);
    if (!keep_waiting_()) return Got::kStopped;
  }
}

bool Input::is_emptied() const {
  struct stat about = {};
  if (::fstat(descriptor_, &about) != 0) fail("reading failed");
  if (static_cast<std::uint64_t>(about.st_size) < at_) return true;
  std::string head(file_->head.size(), '\0');
  const ssize_t got = ::pread(descriptor_, head.data(), head.size(), 0);
  if (got < 0) fail("reading failed");
  return head.substr(0, static_cast<std::size_t>(got)) != file_->head;
}

Input::Got Input::begin_again() {
  if (::lseek(descriptor_, 0, SEEK_SET) < 0) fail("reading failed");
  at_ = 0;
  file_ = std::make_shared<FileMark>(FileMark{file_->inode, {}});
  emptied_ = true;
  return Got::kNewFile;
}

void Input::not_taken(std::uint64_t bytes) {
  if (!emptied_) {
    left_.back().bytes -= bytes;
    left_.back().piece = bytes;
    return;
  }
  if (bytes == 0) {
    troubles_.push_back(fmt::format(
        "{} was emptied: what it got after it was last read is lost, and what follows may begin "
        "with the rest of a line; rotate by renaming",
        path_));
    return;
  }
  late_bytes_ += bytes;
  troubles_.push_back(fmt::format(
      "{} was emptied within a line, of which {} bytes had been read: neither they nor what "
      "follows up to the first line end, which may be its rest, are published; rotate by renaming",
      path_, bytes));
}

std::optional<std::string> Input::take_trouble() {
  look_at_left();
  if (troubles_.empty()) return std::nullopt;
  std::string oldest = std::move(troubles_.front());
  troubles_.pop_front();
  return oldest;
}

void Input::watch() {
  if (!later_ || Clock::now() < next_look_) return;
  next_look_ = Clock::now() + std::chrono::milliseconds(kPollMs);
  later_->look(file_->inode);
  if (!later_->empty() && !renamed_) renamed_ = Clock::now();
  while (auto trouble = later_->take_trouble()) troubles_.push_back(std::move(*trouble));
  if (is_followed()) tell_problem();
}

void Input::tell_problem() {
  const std::string problem = later_->problem() ? later_->problem()->what() : "";
  const auto now = Clock::now();
  if (problem == told_problem_ && now < told_problem_at_ + follow_->tell_again) return;
  told_problem_ = problem;
  told_problem_at_ = now;
  if (!problem.empty()) troubles_.push_back(problem + "; what follows is read once it can be");
}

void Input::look_at_left() {
  for (Left& left : left_) {
    const std::uint64_t late = late_bytes(left);
    if (left.told > 0 || late == 0) continue;
    left.told = left.bytes + late;
    const bool is_late = late > left.piece;
    troubles_.push_back(fmt::format(
        "{}, which was rotated away, {}: once its last line is whole, publish that file again to "
        "its end with the same settings, but without a state (what was published before is counted "
        "once)",
        later_->name_of(left.identity.first).value_or("a file that is gone"),
        is_late ? "was written to after it was left, and that is not read (give a longer "
                  "--rotate-grace-ms)"
                : fmt::format("ends with {} bytes without a line end, which are no event",
                              left.piece)));
  }
}

// `looked`: when the file at hand was known to have no more.
bool Input::has_rested(Clock::time_point looked) const {
  if (!renamed_ || looked < *renamed_) return false;
  if (looked >= *renamed_ + follow_->grace) return true;
  // One of long ago is not waited for: neither was it written nor did it lose its name.
  struct stat about = {};
  if (::fstat(descriptor_, &about) != 0) fail("reading failed");
  const std::chrono::system_clock::time_point changed{
      std::chrono::seconds(about.st_ctim.tv_sec + 1)};
  return changed + follow_->grace <= std::chrono::system_clock::now();
}

std::uint64_t Input::late_bytes(const Left& left) {
  struct stat about = {};
  if (::fstat(left.descriptor, &about) != 0) return 0;
  const auto size = static_cast<std::uint64_t>(about.st_size);
  return size > left.bytes ? size - left.bytes : 0;
}

std::uint64_t Input::late_bytes() const {
  std::uint64_t sum = late_bytes_ + (later_ ? later_->lost_bytes() : 0);
  for (const Left& left : left_) sum += late_bytes(left);
  return sum;
}

void Input::leave() {
  look_at_left();
  while (left_.size() >= kMaxLeft) {
    late_bytes_ += late_bytes(left_.front());
    ::close(left_.front().descriptor);
    left_.pop_front();
  }
  const FileIdentity identity = Succession::identity_of(descriptor_);
  left_.push_back(
      {.descriptor = std::exchange(descriptor_, -1), .identity = identity, .bytes = at_});
  emptied_ = false;
}

void Input::look_on_at(const std::vector<LeftFile>& left) {
  if (!later_) return;
  for (const LeftFile& file : left) {
    const auto descriptor = later_->find(file.identity);
    if (!descriptor) continue;
    left_.push_back({.descriptor = *descriptor, .identity = file.identity, .bytes = file.bytes});
  }
}

std::vector<LeftFile> Input::left_before(std::uint64_t inode) const {
  std::vector<LeftFile> out;
  for (const Left& left : left_) {
    // It and those behind it are read again.
    if (left.identity.first == inode) return out;
    out.push_back({left.identity, left.told > 0 ? left.told : left.bytes});
  }
  return inode == file_->inode ? out : std::vector<LeftFile>();
}

bool Input::change_to_new_file(Clock::time_point looked) {
  if (later_->empty() || !has_rested(looked)) return false;
  if (!later_->is_open()) {
    if (follow_->to_end && later_->problem()) throw std::system_error(*later_->problem());
    return false;
  }
  leave();
  take(later_->take());
  // One that was given its name back is read again.
  const auto again = std::find_if(left_.begin(), left_.end(), [&](const Left& left) {
    return left.identity.first == file_->inode;
  });
  if (again != left_.end()) {
    ::close(again->descriptor);
    left_.erase(again);
  }
  return true;
}

core::Result<void> Input::check(const FilePlace& place, const std::string& path) const {
  // `or_else`: of the inode that the state tells of, which is another file's by now, or was
  // emptied.
  const auto other = [&](std::string_view why, std::string_view or_else) {
    return core::invalid(
        fmt::format("the state is of another file than {}, which {}: {}give each file a state of "
                    "its own, or remove it to begin at the file's start (what was published before "
                    "is counted once, and what an older file got since is not read)",
                    path, why, or_else));
  };
  constexpr std::string_view kIfEmptied =
      "if it was copied and emptied, publish the copy with the same settings, without a state, "
      "then remove the state; else ";
  if (file_->inode != place.inode) {
    return other(fmt::format("is inode {}, not {}", file_->inode, place.inode), "");
  }
  if (size_ < place.offset) {
    return other(fmt::format("has {} bytes, of which {} were published", size_, place.offset),
                 kIfEmptied);
  }
  std::string head(place.head_bytes, '\0');
  char last = '\n';
  const bool read =
      place.head_bytes <= FileMark::kMaxHeadBytes &&
      ::pread(descriptor_, head.data(), head.size(), 0) == static_cast<ssize_t>(head.size()) &&
      (place.offset == 0 ||
       ::pread(descriptor_, &last, 1, static_cast<off_t>(place.offset) - 1) == 1);
  if (!read || hash_of(head) != place.head_hash)
    return other("begins with other bytes", kIfEmptied);
  if (last != '\n' && place.offset < size_) {
    return core::invalid(fmt::format(
        "byte {} of {}, where the state says to go on, is within a line, which was published "
        "before it was whole: remove the state to begin at the file's start (what was published "
        "before is counted once, but for that line)",
        place.offset, path));
  }
  return boost::outcome_v2::success();
}

core::Result<void> Input::find(const FilePlace& place) {
  if (!regular_) {
    return core::invalid("a state needs a file: a pipe has no place to go on at");
  }
  if (follow_ && file_->inode != place.inode) {
    const auto found = later_->begin_at(place.inode);
    if (!found) return found.error();
    if (found.value()) {
      take(*found.value());
    } else if (const auto now = later_->name_of(place.inode)) {
      return core::invalid(fmt::format(
          "the state is of another file than {0}: of {1}, which is not called as a rotated {0}. "
          "Give each file a state of its own; but if {1} once was {0}, publish it with this state "
          "to its end, then each that came between, and remove the state to begin at the start of "
          "{0}",
          path_, *now));
    } else if (const auto packed = later_->newest_compressed()) {
      return core::invalid(fmt::format(
          "what the state tells of is no longer beside {0}; if it became {1}, then unpack that to "
          "a new file, publish it with the same settings to its end, without a state (what was "
          "published before is counted once), and remove the state to begin at the start of {0}",
          path_, *packed));
    }
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
