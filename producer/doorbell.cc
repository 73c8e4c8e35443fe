#include "producer/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace tally::producer {

// A futex is a word of 32 bits; std::atomic of one is nothing more.
static_assert(sizeof(std::atomic<std::uint32_t>) == 4);

void Doorbell::ring() {
  rung_.store(1, std::memory_order_release);
  ::syscall(SYS_futex, &rung_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
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
