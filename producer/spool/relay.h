// Empties a spool into Kafka, in order: reads what is kept, has up to kMaxSpoolRecordsInFlight of
// it in flight, and moves the position over the prefix that the broker acked. What failed is sent
// again, from the first record without an ack on, for as long as it takes. A record that the broker
// refuses even when it is sent alone is set aside (RefusedFile), so that it does not hold up the
// rest. At least once: after a kill some records are sent twice, which the aggregator counts once.
//
// Threads: a thread of its own does all the work; the readers from any thread. Lifetime: the store
// must outlive it. The destructor stops at once; what is not acked stays in the spool.
#pragma once

#include "core/limits.h"
#include "producer/spool/cursor.h"
#include "producer/spool/outlet.h"
#include "producer/spool/refused_file.h"
#include "producer/spool/store.h"
#include "runtime/retry/backoff.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer::spool {

struct RelayOptions {
  OpenOutlet open = {};
  std::size_t max_in_flight = core::kMaxSpoolRecordsInFlight;  // a power of two, CHECKed
  std::chrono::milliseconds position_interval{1'000};
  std::chrono::milliseconds first_retry{100};
  std::chrono::milliseconds longest_retry{10'000};
  std::size_t read_tries = core::kMaxSpoolReadTries;  // of one place, before it is given up
};

struct RelayCounts {
  std::uint64_t delivered = 0;
  std::uint64_t refused = 0;     // set aside
  std::uint64_t lost = 0;        // kept once, and damaged or gone when they were to be sent
  std::uint64_t torn = 0;        // of the last write before a crash: perhaps never kept
  std::uint64_t sent_again = 0;  // deliveries that failed and were tried again
  // When the oldest record that waits was offered, in ms since 1970 by the clock of then; of one
  // that cannot be read, when the one before it was. 0: none waits that the relay knows of.
  std::uint64_t oldest_ms = 0;
};

class Relay {
 public:
  // Opens the first outlet, so that wrong settings are an error here.
  [[nodiscard]] static core::Result<std::unique_ptr<Relay>> open(Store& store,
                                                                 RelayOptions options);
  Relay(Store& store, RelayOptions options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Until nothing that was kept before waits for the broker, or the time is over: whether so.
  [[nodiscard]] bool drain(std::chrono::milliseconds time);
  [[nodiscard]] RelayCounts counts() const;
  // Why nothing moves on now, for people; it may be over.
  [[nodiscard]] std::optional<std::string> problem() const;

 private:
  enum class State : std::uint8_t { kEmpty, kSent, kAcked, kSetAside, kFailed, kRefused };
  // Of one sequence in flight; written by the relay's thread but for `state`.
  struct Slot {
    std::atomic<State> state{State::kEmpty};
    std::uint32_t end_offset = 0;
    std::uint64_t at_ms = 0;
  };
  // What is to be done before anything else is sent.
  enum class Next { kGoOn, kRewind, kReopen };

  void on_delivery(const runtime::kafka::Delivery& delivery);

  core::Result<bool> open_outlet();
  void close_outlet();
  void run();
  void step_or_wait();
  void finish();
  void step();
  void send_some();
  std::optional<Step> read_next();
  void tell_oldest(std::uint64_t at_ms);
  Next send(const Record& record);
  void pass_over(const Step& step);
  // How a stretch of sequences ended, some of which can no longer be read.
  struct Ends {
    std::uint64_t delivered = 0;
    std::uint64_t refused = 0;
    std::uint64_t lost = 0;
    std::uint64_t torn = 0;
  };
  [[nodiscard]] Ends end_gap(std::uint64_t behind);
  void go_back();
  void judge_refused();
  // Fsynced when it returns. Throws FileFailure: then the record has not ended.
  void set_aside(const Record& record, std::string_view reason);
  void sweep();
  void keep_position();
  void idle();
  void pause();
  bool wait_for_all();
  void note(std::string problem);
  // Slots of [base_, end_of_ring()) may be of records that were read.
  [[nodiscard]] std::uint64_t end_of_ring() const {
    return std::min<std::uint64_t>(cursor_.at(), base_ + slots_.size());
  }
  [[nodiscard]] Slot& slot(std::uint64_t sequence) {
    return slots_[sequence & (slots_.size() - 1)];
  }

  // Constant after construction.
  Store& store_;
  RelayOptions options_;

  // The relay's thread.
  Cursor cursor_;
  RefusedFile refused_file_;
  std::vector<Slot> slots_;
  std::uint64_t base_;         // the first sequence without an end
  std::uint64_t read_to_ = 0;  // the slots of sequences below hold their times
  std::uint64_t last_ms_ = 0;  // of the latest record that ended
  std::uint64_t unreadable_at_ = 0;
  std::size_t failed_reads_ = 0;   // there, one after the other
  std::uint64_t sent_ = 0;         // to this outlet and those before
  std::size_t careful_ = 0;        // at most so many at once, for one of them was refused; 0: all
  std::size_t since_careful_ = 0;  // sent since nothing was in flight
  Next next_ = Next::kGoOn;
  runtime::retry::Backoff backoff_;
  std::chrono::steady_clock::time_point position_due_{};
  std::chrono::steady_clock::time_point position_retry_{};

  std::atomic<std::uint64_t> ended_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::condition_variable moved_;       // base_ moved on, or stopping
  RelayCounts counts_;                  // guarded by mutex_
  std::uint64_t ended_below_ = 0;       // guarded by mutex_: base_, for drain()
  std::string reason_;                  // guarded by mutex_: of the latest failed delivery
  std::optional<std::string> problem_;  // guarded by mutex_
  std::unique_ptr<Outlet> outlet_;      // its thread calls back into what stands above
  std::thread thread_;
};

}  // namespace tally::producer::spool
