#include "producer/spool/refused_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace tally::producer::spool {
namespace {

void append_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20U) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

void RefusedFile::open() {
  const auto names = folder_.names();
  if (std::find(names.begin(), names.end(), kName) == names.end()) {
    file_ = folder_.create(kName);
    bytes_ = 0;
    return;
  }
  file_ = folder_.open_for_writing(kName);
  bytes_ = file_->size();
}

void RefusedFile::put(const Record& record, std::string_view reason, std::uint64_t now_ms) {
  // Anew each time: rare, and a person may have moved the file away meanwhile.
  open();
  std::string line;
  char last = '\n';
  if (bytes_ > 0) static_cast<void>(file_->read(std::span(&last, 1), bytes_ - 1));
  if (last != '\n') line += '\n';  // a line that a crash cut short
  fmt::format_to(std::back_inserter(line), R"({{"refused_ms":{},"reason":)", now_ms);
  append_string(reason, line);
  fmt::format_to(std::back_inserter(line), R"(,"sequence":{},"key":)", record.sequence);
  append_string(record.key, line);
  line += R"(,"value":)";
  append_string(record.value, line);
  line += "}\n";
  if (bytes_ + line.size() > max_bytes_) {
    throw FileFailure(
        Trouble::kFull,
        fmt::format("{}/{} is at its bound of {} bytes: mend what the broker refuses these records "
                    "for, or raise what it takes, and move the file elsewhere; sending goes on by "
                    "itself then",
                    folder_.path(), kName, max_bytes_));
  }
  file_->write(line, bytes_);
  file_->sync();
  // Each time: one that failed when the file was made would not be made up for otherwise.
  folder_.sync();
  file_.reset();
}

}  // namespace tally::producer::spool
