// Records that the broker will never take, set aside for a person: one JSON object a line with
// "refused_ms", "reason", "sequence", "key" and "value", the last two as strings.
// `jq -r .value refused.ndjson` gives the events back as lines of `tally-producer publish`.
//
// One thread.
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/segment_reader.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace tally::producer::spool {

class RefusedFile {
 public:
  static constexpr std::string_view kName = "refused.ndjson";
  RefusedFile(Folder& folder, std::uint64_t max_bytes) : folder_(folder), max_bytes_(max_bytes) {}

  // The line and the file's name are fsynced when it returns. Throws FileFailure, also when the
  // file is at its bound; a line may then stand there twice after the next try.
  void put(const Record& record, std::string_view reason, std::uint64_t now_ms);

 private:
  void open();

  Folder& folder_;
  std::uint64_t max_bytes_;
  std::unique_ptr<File> file_;
  std::uint64_t bytes_ = 0;
};

}  // namespace tally::producer::spool
