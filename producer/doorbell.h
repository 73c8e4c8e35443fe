// Wakes one waiting thread; ringing costs a system call only while it says that it sleeps.
#pragma once

#include "producer/cache_line.h"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace tally::producer {

class Doorbell {
 public:
  Doorbell();

  // Any thread: ends a wait_for() that is under way or the next one.
  void ring();
  // Any thread: rings where the waiting thread has announced that it sleeps. What was published
  // before is seen by the look that follows the announcement, or this finds the announcement.
  //
  // That order costs who publishes nothing: a fence here would make it wait until all that it wrote
  // is out of its core, so the one that goes to sleep has the kernel run one on each core that runs
  // a thread of this process (membarrier(2), since Linux 4.14). Where the kernel does not do that,
  // this does.
  void ring_if_asleep() {
    if (fences_itself_.load(std::memory_order_relaxed))
      std::atomic_thread_fence(std::memory_order_seq_cst);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_relaxed)) ring();
  }

  // The waiting thread: announce(true), look once more, wait_for(), announce(false).
  void announce(bool asleep);
  void wait_for(std::chrono::microseconds time);

 private:
  // The waiting thread writes this at each wait; who rings reads what is below.
  alignas(kLineBytes) std::atomic<std::uint32_t> rung_{0};
  alignas(kLineBytes) std::atomic<bool> asleep_{false};
  std::atomic<bool> fences_itself_;
};

}  // namespace tally::producer
