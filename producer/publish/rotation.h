// The files of a log that is rotated by renaming: which they are, and which come after which.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tally::producer::publish {

// Whether a rotation of a log calls a file so, the log's own name included: app.log, app.log.1,
// app.log-20261122, app.log.2026-11-22T10:00, app.log.old, app-20261122.log, app.2026-11-22.1.log,
// and each of them compressed. A number that is no date stands only behind the name and a dot:
// app-2.log, access-8080.log and app.log-2 are other logs.
[[nodiscard]] bool is_log_name(std::string_view log, std::string_view name);

// Inode, and birth in nanoseconds since 1970; 0 where the file system keeps none.
using FileIdentity = std::pair<std::uint64_t, std::int64_t>;

// Every file that has had a log's name, from the one at hand on, in the order of their birth. Each
// is held open from when it is first seen, so that no later rename, compression or removal takes it
// away. What is born, renamed, compressed and removed between two looks is not seen; what is given
// another log's name meanwhile is not read, but told where the file before it has a name of that
// kind, too.
//
// One thread.
class Succession {
 public:
  // What bears one of the log's names now is older than what look() finds later. A folder that
  // cannot be listed is an error once that is needed.
  explicit Succession(const std::string& path);
  ~Succession();
  Succession(const Succession&) = delete;
  Succession& operator=(const Succession&) = delete;

  // Throws std::system_error where the folder could not be listed at the start.
  void must_be_listed() const;
  // Finds the files that took the name since. One stat where it is still the newest known. What
  // cannot be opened, or a folder that cannot be listed, is tried again by the next look:
  // problem().
  void look(std::uint64_t inode_at_hand);
  [[nodiscard]] bool empty() const { return next_.empty(); }
  // Whether the oldest is open by now. Not when empty().
  [[nodiscard]] bool is_open() const { return next_.front().descriptor >= 0; }
  // The oldest, which is the caller's to close. When is_open().
  [[nodiscard]] int take();
  // Why the last look() did not find or open everything; nullopt: it did.
  [[nodiscard]] const std::optional<std::system_error>& problem() const { return problem_; }
  // What people must know, each once: of lost_bytes().
  [[nodiscard]] std::optional<std::string> take_trouble();
  // Of files that were removed before they could be opened, or were passed over for their names.
  [[nodiscard]] std::uint64_t lost_bytes() const { return lost_bytes_; }
  // Of those that cannot be opened yet, and those behind them.
  [[nodiscard]] std::uint64_t unopened_bytes() const;

  // The file with that inode that has one of the log's names, open, and all that were born after it
  // in their turn; before look() and take(). nullopt: it is not there. An error names one that
  // cannot be read. Throws std::system_error.
  [[nodiscard]] core::Result<std::optional<int>> begin_at(std::uint64_t inode);

  // The open file's; its birth is not known where it is no regular one.
  [[nodiscard]] static FileIdentity identity_of(int descriptor);
  // The folder's file of that identity, open; nullopt: it is not there. Throws std::system_error.
  [[nodiscard]] std::optional<int> find(const FileIdentity& identity) const;
  // What a file of the folder is called now, as a path; nullopt also where it cannot be listed.
  [[nodiscard]] std::optional<std::string> name_of(std::uint64_t inode) const;
  // The name of the compressed one that was written last. Throws std::system_error.
  [[nodiscard]] std::optional<std::string> newest_compressed() const;
  // Whether the folder's file system keeps birth times. Else the order is that of the last writes,
  // and a file that has the inode of one that was removed is taken for that one.
  [[nodiscard]] bool has_birth_times() const { return has_birth_times_; }

 private:
  struct File {
    std::string name;
    std::uint64_t inode = 0;
    std::uint64_t bytes = 0;
    std::int64_t written_ns = 0;  // the last write, since 1970
    std::int64_t born_ns = 0;     // written_ns where the file system keeps no birth times
    bool has_birth = false;
    [[nodiscard]] FileIdentity identity() const;
  };
  struct Held {
    int descriptor = -1;  // -1: it cannot be opened yet
    File file;
    int missed = 0;  // of one that is not open: looks in a row that did not see it
  };
  static std::optional<File> about(int folder, const std::string& path);
  [[nodiscard]] std::vector<File> files() const;
  [[nodiscard]] bool is_log(const File& file) const;
  [[nodiscard]] bool is_new(const File& file, std::uint64_t inode_at_hand,
                            const std::vector<Held>& found) const;
  // nullopt: that name has another file by now. Throws std::system_error.
  [[nodiscard]] std::optional<int> open(const File& file) const;
  // As open(), but -1 for one that cannot be opened.
  [[nodiscard]] std::optional<int> try_to_open(const File& file);
  void find_new(std::uint64_t inode_at_hand, std::vector<Held>& found);
  void open_what_waits();
  void tell_passed_over(std::uint64_t before);

  std::filesystem::path folder_;
  std::string name_;
  bool has_birth_times_ = true;
  std::optional<std::system_error> problem_;
  std::optional<std::system_error> unlisted_;  // at the start
  std::uint64_t unlisted_bytes_ = 0;           // of what has the name, where the rest is not known
  std::deque<std::string> troubles_;
  std::uint64_t lost_bytes_ = 0;
  std::vector<FileIdentity> known_;
  std::vector<FileIdentity> others_;  // with other names: there at the start, or told
  std::deque<Held> next_;
};

}  // namespace tally::producer::publish
