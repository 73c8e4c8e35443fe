// Reads the kept records of a spool in order. One thread.
#pragma once

#include "producer/spool/segment_reader.h"
#include "producer/spool/store.h"

#include <cstdint>
#include <optional>

namespace tally::producer::spool {

// What comes next: a record; or sequences that no file holds any more, `missing` of them, which are
// passed over from now on. `torn` of those belong to the last write before a crash and may never
// have been fsynced; the others were, and are lost.
struct Step {
  std::optional<Record> record;
  std::uint64_t missing = 0;
  std::uint64_t torn = 0;
};

class Cursor {
 public:
  Cursor(Store& store, std::uint64_t sequence) : store_(store), at_(sequence) {}
  // nullopt: nothing yet. The record lives until the next call. Throws FileFailure; the next call
  // tries again. A segment that somebody removed is a gap.
  [[nodiscard]] std::optional<Step> next();
  void seek(std::uint64_t sequence);
  // What cannot be read of the segment that it is in is from now on a gap.
  void give_up_unreadable();
  [[nodiscard]] std::uint64_t at() const { return at_; }

 private:
  Step pass_over(std::uint64_t until);
  bool open(const Segment& segment);  // false: it is gone

  Store& store_;
  std::uint64_t at_;
  std::uint64_t number_ = 0;  // of the segment under reader_
  std::optional<std::uint64_t> given_up_;
  std::optional<SegmentReader> reader_;
  std::optional<Record> found_;  // behind a gap that was told first
};

}  // namespace tally::producer::spool
