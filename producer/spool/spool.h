// The disk spool by itself: events in, an outcome each once they are fsynced, and the store from
// which the relay empties it. One fsync serves all that waits for it.
//
// Threads: offer(), flush() and the readers from any thread. The outcomes come on the writer's
// thread, in the order of the offers, one at a time; the callback must be quick, must not throw and
// must not call flush(). Lifetime: the destructor writes what was accepted, calls back for all of
// it, and stops; the callback must outlive it. Not across fork(): the child has no writer.
#pragma once

#include "core/limits.h"
#include "producer/event_sink.h"
#include "producer/spool/appender.h"
#include "producer/spool/store.h"

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer::spool {

struct SpoolOptions {
  StoreLimits limits{core::kSpoolBytes, core::kSpoolSegmentBytes};
  std::size_t max_pending_bytes = core::kMaxSpoolPendingBytes;  // accepted and not yet written
  // Key and value of one event: what is longer the broker would not take.
  std::size_t max_event_bytes = core::kMaxSpoolEventBytes;
  // How long until a disk that was full or failed is looked at again; doubled up to 5 s.
  std::chrono::milliseconds first_retry{100};
  EventSink::OnOutcome on_outcome = {};  // may be empty
};

struct SpoolCounts {
  std::uint64_t accepted = 0;  // = kept + not kept + outstanding
  std::uint64_t kept = 0;
  std::uint64_t not_kept = 0;
  std::uint64_t refused_full = 0;  // offers answered kFull
  std::uint64_t refused_too_large = 0;
  std::map<std::string, std::uint64_t> not_kept_by_reason;
};

class Spool final : public EventSink {
 public:
  // Errors as Store::open's.
  [[nodiscard]] static core::Result<std::unique_ptr<Spool>> open(std::unique_ptr<Folder> folder,
                                                                 SpoolOptions options);
  Spool(std::unique_ptr<Store> store, SpoolOptions options);
  ~Spool() override;
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Never waits for the disk. kFull: the spool is at its bound, more waits for the disk than memory
  // is allowed for, there is no memory, or the disk is full, read-only or failing (problem() says);
  // it goes on by itself when there is room again. kTooLarge: longer than max_event_bytes, or than
  // a segment; a key beyond kMaxRequestIdBytes.
  [[nodiscard]] Offered offer(const SinkEvent& event) override;
  // Until everything accepted before has its outcome, or the time is over: whether it has.
  [[nodiscard]] bool flush(std::chrono::milliseconds time);

  [[nodiscard]] SpoolCounts counts() const;
  // Why the disk takes nothing now; nullopt: it does.
  [[nodiscard]] std::optional<std::string> problem() const;
  [[nodiscard]] Store& store() { return *store_; }

 private:
  // Events on their way: the group and a tag for each of its frames.
  struct Batch {
    Group group;
    std::vector<std::uint64_t> tags;
  };

  void write_until_stopped();
  bool wait_for_work(Batch& batch);
  void write(Batch& batch);
  void tell(const Batch& batch, const Kept& kept);
  void refuse_from_now(const FileFailure& failure);
  void look_again();
  void append(const SinkEvent& event, std::size_t frame_bytes, std::uint64_t at_ms);
  [[nodiscard]] bool has_room(std::size_t frame_bytes) const;

  // Constant after construction.
  std::unique_ptr<Store> store_;
  SpoolOptions options_;
  std::uint64_t body_key_;

  // The writer's.
  std::optional<Appender> appender_;
  std::chrono::milliseconds retry_;
  std::chrono::steady_clock::time_point look_again_at_;

  mutable std::mutex mutex_;
  std::condition_variable work_;        // something to write, or stopping
  std::condition_variable told_;        // outcomes were told
  Batch pending_;                       // guarded by mutex_
  std::size_t in_hand_bytes_ = 0;       // guarded by mutex_: pending and being written
  std::optional<FileFailure> problem_;  // guarded by mutex_; copied without memory
  SpoolCounts counts_;                  // guarded by mutex_, but for the reasons
  std::array<std::uint64_t, kTroubles> not_kept_by_trouble_{};        // guarded by mutex_
  enum class State { kRunning, kStopping } state_ = State::kRunning;  // guarded by mutex_
  std::atomic<bool> refusing_{false};
  std::thread writer_;  // last: uses all above
};

}  // namespace tally::producer::spool
