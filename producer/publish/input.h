// The bytes of a file or a pipe, and of a file that goes on growing and is rotated.
#pragma once

#include "core/result.h"
#include "producer/publish/rotation.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::publish {

// Which file: its inode, and its first bytes, because inodes are used again and files overwritten.
// Not its device, which may have another number after each boot.
struct FileMark {
  static constexpr std::size_t kMaxHeadBytes = 4096;
  std::uint64_t inode = 0;
  std::string head;  // as far as it was read
};

// A place in a file, to be found again.
struct FilePlace {
  std::uint64_t inode = 0;
  std::uint64_t head_bytes = 0;  // at most kMaxHeadBytes and `offset`
  std::string head_hash;         // SHA-256 of so many first bytes, in hex
  std::uint64_t offset = 0;      // of the next record
  std::uint64_t line = 1;        // of the next record, from 1
  friend bool operator==(const FilePlace&, const FilePlace&) = default;
};

[[nodiscard]] FilePlace place_in(const FileMark& file, std::uint64_t offset, std::uint64_t line);

// A rotated file that was left: what it gets later is not read, but told.
struct LeftFile {
  FileIdentity identity;
  std::uint64_t bytes = 0;  // that were read, or that it had when that was told
  friend bool operator==(const LeftFile&, const LeftFile&) = default;
};

// How to follow a file: where it ends, more is waited for. When another file has its name, the old
// one is read until it has not grown for `grace`, since whoever writes may have it open yet; then
// each that has had the name since, in the order of their birth, from its begin. When it is shorter
// than what was read, or after a wait begins with other bytes, it was emptied, and is read from its
// begin.
struct Follow {
  std::chrono::milliseconds grace{5'000};
  // What has the name is read to where it ends then; only files from before it are gone through.
  // One that cannot be opened ends the reading with an error, and `grace` is no longer waited for
  // where the old one goes on growing.
  bool to_end = false;
  // After so long what cannot be opened is told again.
  std::chrono::milliseconds tell_again{60'000};
};

// One thread.
class Input {
 public:
  enum class Got {
    kBytes,
    kNewFile,  // what follows is another file's, or the same one's after it was emptied
    kEnd,
    kStopped,  // told to wait no longer
  };

  // Asked ten times a second while nothing comes.
  using KeepWaiting = std::function<bool()>;

  // "-" is standard input, which cannot be followed. Throws std::system_error when it cannot be
  // opened, or it is followed and its folder cannot be listed.
  explicit Input(const std::string& path, std::optional<Follow> follow = std::nullopt);
  // Reads, and does not close, the descriptor.
  explicit Input(int descriptor);
  ~Input();
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  void keep_waiting(KeepWaiting ask) { keep_waiting_ = std::move(ask); }
  // To be called while nothing is read: a followed file may be rotated meanwhile, more than once.
  void watch();
  // What people must know, each once: bytes that are not read, and what cannot be opened yet.
  [[nodiscard]] std::optional<std::string> take_trouble();
  // Waits for bytes; how many came with kBytes. Throws std::system_error.
  [[nodiscard]] Got read(std::span<char> to, std::size_t& bytes);
  // Of what was read before the last kNewFile so many bytes at the end were no record.
  void not_taken(std::uint64_t bytes);
  // And so many of what was read since, where it was emptied.
  void rest_not_taken(std::uint64_t bytes) { late_bytes_ += bytes; }
  // Whether what came with the last kNewFile is the same file's.
  [[nodiscard]] bool was_emptied() const { return emptied_; }

  // Makes the place's file the one at hand, at its begin: the file, or where it is followed the one
  // in its folder that had its name; then those come that were born later. Before anything was
  // read. An error says why it is not there.
  [[nodiscard]] core::Result<void> find(const FilePlace& place);
  // Throws std::system_error.
  void seek(std::uint64_t offset);
  // Goes on looking at files that an earlier run left and that are in the folder yet; after find().
  // Throws std::system_error.
  void look_on_at(const std::vector<LeftFile>& left);
  // The files that were left last, of before the file with that inode came.
  [[nodiscard]] std::vector<LeftFile> left_before(std::uint64_t inode) const;

  [[nodiscard]] bool has_places() const { return regular_; }
  // Whether more is waited for at its end.
  [[nodiscard]] bool is_followed() const { return follow_ && !follow_->to_end; }
  // The file at hand.
  [[nodiscard]] std::shared_ptr<const FileMark> file() const { return file_; }
  // Of files that were rotated away or emptied, and read no more: what was written after they were
  // left, pieces of lines, and files that were passed over, or removed before they could be opened.
  [[nodiscard]] std::uint64_t late_bytes() const;
  // Of files that had the name and cannot be opened yet, and of those behind them.
  [[nodiscard]] std::uint64_t unopened_bytes() const {
    return later_ ? later_->unopened_bytes() : 0;
  }
  // Of all files, and what was passed over by seek().
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  // Of the file, when it was opened; 0: it is a pipe or followed, and has no end.
  [[nodiscard]] std::uint64_t size() const { return is_followed() ? 0 : size_; }

 private:
  using Clock = std::chrono::steady_clock;
  void take(int descriptor);
  Got read_regular(std::span<char> to, std::size_t& bytes);
  Got read_pipe(std::span<char> to, std::size_t& bytes);
  [[nodiscard]] std::size_t read_some(std::span<char> to) const;
  void note(std::span<const char> bytes);
  [[nodiscard]] bool is_emptied() const;
  Got begin_again();
  [[nodiscard]] bool has_rested(Clock::time_point looked) const;
  [[nodiscard]] bool change_to_new_file(Clock::time_point looked);
  [[nodiscard]] core::Result<void> check(const FilePlace& place, const std::string& path) const;

  std::string path_;
  std::optional<Follow> follow_;
  int descriptor_ = -1;
  bool ours_ = false;
  bool regular_ = false;
  bool at_end_ = false;
  std::uint64_t at_ = 0;  // of the next byte in the file
  std::uint64_t size_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::shared_ptr<FileMark> file_;
  std::optional<Succession> later_;  // of a file that is followed
  // Rotated files that were read to their end, the newest last; they are looked at, and read no
  // more.
  struct Left {
    int descriptor = -1;
    FileIdentity identity;
    std::uint64_t bytes = 0;  // that were read, and were whole records
    std::uint64_t piece = 0;  // that were read behind them
    std::uint64_t told = 0;   // how many it had when that was told; 0: nothing was
  };
  static constexpr std::size_t kMaxLeft = 4;
  static std::uint64_t late_bytes(const Left& left);
  void leave();
  void look_at_left();
  void tell_problem();
  std::deque<Left> left_;
  std::uint64_t late_bytes_ = 0;  // of those that are looked at no more, or were emptied
  bool emptied_ = false;          // that was the last kNewFile
  std::deque<std::string> troubles_;
  std::string told_problem_;  // of later_
  Clock::time_point told_problem_at_ = Clock::now();
  Clock::time_point next_look_ = Clock::now();
  Clock::time_point last_read_ = Clock::now();
  // Since when another file has the name and, where it is followed, the one at hand has not grown.
  std::optional<Clock::time_point> renamed_;
  KeepWaiting keep_waiting_ = [] { return true; };
};

}  // namespace tally::producer::publish
