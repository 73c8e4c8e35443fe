// Wakes one waiting thread; ringing costs a system call only while it says that it sleeps.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace tally::producer {

class Doorbell {
 public:
  // Any thread: ends a wait_for() that is under way or the next one.
  void ring();
  // Any thread: rings where the waiting thread has announced that it sleeps. What was published
  // before with a sequentially consistent store is seen by the look that follows the announcement,
  // or this finds the announcement.
  void ring_if_asleep() {
    if (asleep_.load(std::memory_order_seq_cst)) ring();
  }

  // The waiting thread: announce(true), look once more, wait_for(), announce(false).
  void announce(bool asleep) { asleep_.store(asleep, std::memory_order_seq_cst); }
  void wait_for(std::chrono::microseconds time);

 private:
  std::atomic<std::uint32_t> rung_{0};
  std::atomic<bool> asleep_{false};
};

}  // namespace tally::producer
