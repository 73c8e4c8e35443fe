// The table of a spool: which segments there are, how far they may be read, and how far the broker
// has acked. The appender fills it, the cursor reads from it, the relay moves it on.
//
// Threads: every function from any thread, but extend(), begin(), seal() and drop_newest() from the
// appender's only, and advance(), store_position() and drop_done() from the relay's only.
#pragma once

#include "producer/spool/files.h"
#include "producer/spool/format.h"
#include "producer/spool/position_file.h"
#include "producer/spool/recovery.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace tally::producer::spool {

struct StoreLimits {
  std::uint64_t max_bytes = 0;      // of all segments, what is reserved included
  std::uint64_t segment_bytes = 0;  // of one
};

struct StoreFigures {
  std::uint64_t waiting_records = 0;  // kept, and neither acked nor set aside nor found missing
  std::uint64_t waiting_bytes = 0;    // of their frames
  std::uint64_t disk_bytes = 0;       // of all segments
  std::uint64_t next_sequence = 0;
  std::uint64_t acked = 0;
};

class Store {
 public:
  // Locks the folder and recovers it. Errors: kConflict (another process has it), kInvalid (another
  // version, a mixture of spools), kUnavailable (the disk).
  [[nodiscard]] static core::Result<std::unique_ptr<Store>> open(std::unique_ptr<Folder> folder,
                                                                 const StoreLimits& limits);
  Store(std::unique_ptr<Folder> folder, std::unique_ptr<FolderLock> lock, const StoreLimits& limits,
        Recovered recovered);

  [[nodiscard]] Folder& folder() { return *folder_; }
  [[nodiscard]] const SpoolId& spool() const { return spool_; }
  [[nodiscard]] std::uint64_t cut_bytes() const { return cut_bytes_; }

  // The appender's: the segment that would come next, and the room that it may take. Its records
  // begin at next_sequence.
  struct Birth {
    std::uint64_t number = 0;
    std::uint64_t first_sequence = 0;
    std::uint64_t limit_bytes = 0;
  };
  [[nodiscard]] Birth next_segment();
  void begin(const Birth& birth);
  // `bytes` more of the newest segment hold `records` more records, fsynced.
  void extend(std::uint64_t bytes, std::uint64_t records);
  void seal();         // nothing is appended to the newest segment any more
  void drop_newest();  // it holds no record

  // The cursor's: where the first record from `sequence` on is that a segment holds. Those in
  // [sequence, begin) are in none and never will be. Without a segment nothing is kept from begin
  // on yet.
  struct Place {
    std::uint64_t begin = 0;
    std::optional<Segment> segment;
  };
  [[nodiscard]] Place find(std::uint64_t sequence) const;
  // Sequences of which what is missing may never have been kept.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> torn() const { return torn_; }
  // Until records from `sequence` on are there, wake() is called, or the time is over.
  void wait_for(std::uint64_t sequence, std::chrono::milliseconds time);
  void wake();

  // The relay's: every sequence below `acked` has ended; the last of them ends at `end_offset` of
  // its segment (0: not known).
  void advance(std::uint64_t acked, std::uint64_t end_offset);
  [[nodiscard]] bool position_moved() const;  // more is acked, or kept, than the stored one says
  void store_position();                      // throws FileFailure
  [[nodiscard]] bool has_done() const;        // segments that hold nothing more to send
  // Stores the position, then removes them. Throws FileFailure.
  void drop_done();

  // Any thread; used_bytes() without a lock.
  [[nodiscard]] StoreFigures figures() const;
  [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_.load(); }
  [[nodiscard]] const StoreLimits& limits() const { return limits_; }

 private:
  [[nodiscard]] bool front_is_done() const;

  // Constant after construction.
  std::unique_ptr<Folder> folder_;
  std::unique_ptr<FolderLock> lock_;
  StoreLimits limits_;
  SpoolId spool_;
  std::uint64_t cut_bytes_;
  std::pair<std::uint64_t, std::uint64_t> torn_;

  PositionFile position_file_;  // the relay's

  mutable std::mutex mutex_;
  std::condition_variable grown_;
  std::deque<Segment> segments_;     // guarded by mutex_
  bool newest_is_open_ = false;      // guarded by mutex_
  std::uint64_t next_number_ = 1;    // guarded by mutex_
  std::uint64_t next_sequence_ = 0;  // guarded by mutex_
  std::uint64_t acked_ = 0;          // guarded by mutex_
  std::uint64_t acked_offset_ = 0;   // guarded by mutex_
  std::uint64_t stored_acked_ = 0;   // guarded by mutex_
  std::uint64_t stored_kept_ = 0;    // guarded by mutex_
  bool woken_ = false;               // guarded by mutex_
  std::atomic<std::uint64_t> used_bytes_{0};
};

}  // namespace tally::producer::spool
