#include "producer/doorbell.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace tally::producer {

// A futex is a word of 32 bits; std::atomic of one is nothing more.
static_assert(sizeof(std::atomic<std::uint32_t>) == 4);

namespace {

bool membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

}  // namespace

Doorbell::Doorbell() : fences_itself_(!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {}

void Doorbell::ring() {
  rung_.store(1, std::memory_order_release);
  ::syscall(SYS_futex, &rung_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void Doorbell::announce(bool asleep) {
  asleep_.store(asleep, std::memory_order_seq_cst);
  if (!asleep || fences_itself_) return;
  // A service may have forbidden itself the call since: this once a ring may be missed, and the
  // wait ends by its time.
  if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) fences_itself_ = true;
}

void Doorbell::wait_for(std::chrono::microseconds time) {
  if (rung_.exchange(0, std::memory_order_acquire) != 0) return;
  const timespec limit{.tv_sec = time.count() / 1'000'000,
                       .tv_nsec = (time.count() % 1'000'000) * 1'000};
  // Whatever ends it (a ring, the time, a signal), the caller looks again.
  ::syscall(SYS_futex, &rung_, FUTEX_WAIT_PRIVATE, 0, &limit, nullptr, 0);
  rung_.exchange(0, std::memory_order_acquire);
}

}  // namespace tally::producer
