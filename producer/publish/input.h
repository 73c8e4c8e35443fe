// The bytes of a file or a pipe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

namespace tally::producer::publish {

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

  // "-" is standard input. Throws std::system_error when it cannot be opened.
  explicit Input(const std::string& path);
  // Reads, and does not close, the descriptor.
  explicit Input(int descriptor);
  ~Input();
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  void keep_waiting(KeepWaiting ask) { keep_waiting_ = std::move(ask); }
  // Waits for bytes; how many came with kBytes. Throws std::system_error.
  [[nodiscard]] Got read(std::span<char> to, std::size_t& bytes);
  // Of all files, so far.
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  // Of the file, when it was opened; 0: a pipe's is not known.
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  void look_at_size();

  int descriptor_ = -1;
  bool ours_ = false;
  bool at_end_ = false;
  std::uint64_t size_ = 0;
  std::uint64_t bytes_read_ = 0;
  KeepWaiting keep_waiting_ = [] { return true; };
};

}  // namespace tally::producer::publish
