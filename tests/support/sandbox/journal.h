// The state file: JSON lines, appended and flushed, re-read at start. One thread at a time.
#pragma once

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace tally::sandbox {

class Journal {
 public:
  // Gives each intact line to `replay` and cuts a torn last one off. Throws std::runtime_error when
  // the file cannot be written, a line before the last is no JSON, or `replay` misses something in
  // one. "" keeps nothing.
  Journal(const std::string& path, const std::function<void(const nlohmann::json&)>& replay);
  // Not in the file before flush().
  void add(const nlohmann::json& line);
  // Throws std::runtime_error when the file takes no more.
  void flush();

 private:
  bool keeps_ = false;
  std::string unwritten_;
  std::ofstream stream_;
};

}  // namespace tally::sandbox
