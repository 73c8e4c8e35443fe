// The files of a log that is rotated by renaming: which they are, and which come after which.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::producer::publish {

// Whether a rotation of a log calls a file so, the log's own name included: app.log, app.log.1,
// app.log-20261122, app.log.2026-11-22T10:00, app.log.old, app-20261122.log, and each of them
// compressed.
[[nodiscard]] bool is_log_name(std::string_view log, std::string_view name);

// Every file that has had a log's name, from the one at hand on, in the order of their birth. Each
// is held open from when it is first seen, so that no later rename, compression or removal takes it
// away. What is born, renamed, compressed and removed between two looks is not seen.
//
// One thread.
class Succession {
 public:
  // What bears one of the log's names now is older than what look() finds later.
  explicit Succession(const std::string& path);
  ~Succession();
  Succession(const Succession&) = delete;
  Succession& operator=(const Succession&) = delete;

  // Finds the files that took the name since. One stat where it is still the newest known. Throws
  // std::system_error.
  void look(std::uint64_t inode_at_hand);
  [[nodiscard]] bool empty() const { return next_.empty(); }
  // The oldest, which is the caller's to close. Not when empty().
  [[nodiscard]] int take();

  // The file with that inode, open, in the log's folder, and all that were born after it in their
  // turn; before look() and take(). nullopt: it is not there. An error names one that cannot be
  // read.
  [[nodiscard]] core::Result<std::optional<int>> begin_at(std::uint64_t inode);

  // The name of the compressed one that was written last.
  [[nodiscard]] std::optional<std::string> newest_compressed() const;

 private:
  struct File {
    std::string name;
    std::uint64_t inode = 0;
    std::int64_t written_ns = 0;  // the last write, since 1970
    std::int64_t born_ns = 0;     // written_ns where the file system keeps no birth times
    bool has_birth = false;
    [[nodiscard]] std::pair<std::uint64_t, std::int64_t> identity() const;
  };
  struct Held {
    int descriptor = -1;
    File file;
  };
  static std::optional<File> about(int folder, const std::string& path);
  [[nodiscard]] std::vector<File> files() const;
  [[nodiscard]] bool is_log(const File& file) const;
  [[nodiscard]] bool is_new(const File& file, std::uint64_t inode_at_hand,
                            const std::vector<Held>& found) const;
  // -1: that name has another file by now.
  [[nodiscard]] int open(const File& file) const;

  std::filesystem::path folder_;
  std::string name_;
  std::vector<std::pair<std::uint64_t, std::int64_t>> known_;
  std::deque<Held> next_;
};

}  // namespace tally::producer::publish
