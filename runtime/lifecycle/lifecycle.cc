#include "runtime/lifecycle/lifecycle.h"

#include "core/check.h"
#include "runtime/lifecycle/failpoint.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace tally::runtime::lifecycle {
namespace {

// A signal handler has no other way to reach its state; all of it is async-signal-safe.
std::atomic<bool> stop_requested = false;
std::atomic<bool> exists = false;
std::atomic<int> wake_fd = -1;

void wake() {
  const std::uint64_t one = 1;
  // The counter is never read, so that every waiter sees it; a full counter is awake already.
  [[maybe_unused]] const ssize_t ignored = ::write(wake_fd.load(), &one, sizeof one);
}

void on_signal(int /*signal*/) {
  const int saved_errno = errno;
  if (stop_requested.exchange(true)) ::_exit(130);
  wake();
  errno = saved_errno;
}

void install(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

StopSignal::StopSignal() {
  TALLY_CHECK(!exists.exchange(true), "one StopSignal per process");
  arm_failpoints_from_environment();
  stop_requested = false;
  wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  TALLY_CHECK(wake_fd >= 0, "eventfd: errno {}", errno);
  install(on_signal);
}

StopSignal::~StopSignal() {
  install(SIG_DFL);
  ::close(wake_fd.exchange(-1));
  exists = false;
}

bool StopSignal::requested() const { return stop_requested; }

bool StopSignal::wait_for(std::chrono::milliseconds time) const {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!stop_requested) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    pollfd watched = {wake_fd.load(), POLLIN, 0};
    ::poll(&watched, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000)));
  }
  return stop_requested;
}

void StopSignal::request() {
  if (!stop_requested.exchange(true)) wake();
}

}  // namespace tally::runtime::lifecycle
