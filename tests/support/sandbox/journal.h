// The state file: JSON lines, appended, re-read at start. Its first line says what it is; each
// other is a list of changes that stand or fall together. One thread at a time; one process at a
// time, by a lock on the file.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tally::sandbox {

// The file takes no more: what is not in it was not answered, and never will be.
struct StateFileFull : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Journal {
 public:
  // Gives each change to `replay`, in order, and cuts off a torn last line; writes nothing else
  // over what stands. Throws std::runtime_error, which names the file and where it can the line,
  // when the file is not this program's, is another process's, cannot be written, or `replay`
  // throws.
  // "" keeps nothing.
  Journal(const std::string& path, const std::function<void(const nlohmann::json&)>& replay);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  // Not in the file before flush().
  void add(const nlohmann::json& change);
  // What was added since the last time, as one line. Throws StateFileFull when the file takes no
  // more, and from then on always.
  void flush();

 private:
  void open();
  void write(std::string_view text);
  // The bytes of the file's intact lines.
  [[nodiscard]] std::int64_t read(const std::function<void(const nlohmann::json&)>& replay) const;
  void cut(std::int64_t bytes) const;

  std::string path_;  // "": keeps nothing
  int file_ = -1;
  bool failed_ = false;
  std::string unwritten_;  // a list of changes that is not closed; "": none
};

}  // namespace tally::sandbox
