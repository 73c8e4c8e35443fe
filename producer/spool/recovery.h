// What a spool's folder holds when it is opened: read, checked, and made ready to go on. Steps are
// in README.md ("When things fail").
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/format.h"

#include <cstdint>
#include <deque>

namespace tally::producer::spool {

// The part of a segment that may be read: frames of [first_sequence, end_sequence) in its first
// `bytes` bytes. What else the file holds was replaced by the segment after it, or never fsynced.
struct Segment {
  std::uint64_t number = 0;
  std::uint64_t first_sequence = 0;
  std::uint64_t end_sequence = 0;
  std::uint64_t bytes = 0;
};

struct Recovered {
  SpoolId spool;
  PositionSlot slot;  // as it must be from now on, and not stored yet
  std::deque<Segment> segments;
  std::uint64_t next_number = 1;
  std::uint64_t next_sequence = 0;
  std::uint64_t cut_bytes = 0;  // behind the last whole record, or of a segment without any
};

// `fresh` is the id of the spool if the folder is empty. Cuts and fsyncs the newest segment, so
// that what is read now is there after a power cut too. kInvalid: another version of the format, or
// files of another spool. Throws FileFailure.
[[nodiscard]] core::Result<Recovered> recover(Folder& folder, const SpoolId& fresh);

}  // namespace tally::producer::spool
