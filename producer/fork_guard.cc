#include "producer/fork_guard.h"

#include "core/check.h"

#include <pthread.h>

#include <atomic>

namespace tally::producer {
namespace {

std::atomic<std::uint64_t> generation{1};

// Before main(): every fork from then on is seen.
const bool kRegistered = [] {
  const int failed = ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1); });
  TALLY_CHECK(failed == 0, "pthread_atfork: {}", failed);
  return true;
}();

}  // namespace

std::uint64_t process_generation() {
  static_cast<void>(kRegistered);
  return generation.load(std::memory_order_relaxed);
}

}  // namespace tally::producer
