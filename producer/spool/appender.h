// Writes groups of records into segments, one fsync for a group. A record is kept once the fsync
// that covers it has returned, and the folder's for a new segment. A segment that failed once is
// never written again: what it holds since its last good fsync is written anew into the next one,
// from the bytes still in memory.
//
// One thread.
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::producer::spool {

// Frames behind each other, as append_frame() makes them.
struct Group {
  std::string bytes;
  std::vector<std::uint32_t> frame_bytes;
  void clear() {
    bytes.clear();
    frame_bytes.clear();
  }
};

struct Kept {
  std::size_t records = 0;             // the first so many of the group
  std::optional<FileFailure> failure;  // why the rest is not
};

class Appender {
 public:
  explicit Appender(Store& store);
  ~Appender();  // seals; leaves no reserved room behind
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  // Does not throw, neither for the disk nor for want of memory. What is not kept is on no disk as
  // far as this process can see to; after a crash some of it may be read again.
  [[nodiscard]] Kept append(Group& group);
  // Whether there is room again: opens a segment and makes its name stand.
  [[nodiscard]] std::optional<FileFailure> probe();

 private:
  void open_segment();
  void sync_segment();
  // Writes and fsyncs frames from `begin` on, as many as fit: returns how many.
  std::size_t write_some(Group& group, std::size_t begin, std::size_t begin_byte);
  void complain(const FileFailure& failure) const noexcept;
  void abandon();
  void seal();

  Store& store_;
  const FileFailure no_memory_;  // made while there is some
  std::unique_ptr<File> file_;   // of the segment being written; null: none
  Store::Birth birth_;
  std::uint64_t frame_key_ = 0;
  std::uint64_t bytes_ = 0;         // fsynced
  std::uint64_t end_sequence_ = 0;  // fsynced
  enum class Name { kNew, kStands } name_ = Name::kNew;
};

}  // namespace tally::producer::spool
