#include "tests/bench/stages/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace tally::bench {
namespace {

thread_local constinit Allocated counted;
constinit std::atomic<std::int64_t> count_of_all{0};
constinit std::atomic<std::int64_t> bytes_of_all{0};

void note(std::size_t bytes) {
  ++counted.count;
  counted.bytes += static_cast<std::int64_t>(bytes);
  count_of_all.fetch_add(1, std::memory_order_relaxed);
  bytes_of_all.fetch_add(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
}

}  // namespace

Allocated allocated() { return counted; }

Allocated allocated_by_all() {
  return {count_of_all.load(std::memory_order_relaxed),
          bytes_of_all.load(std::memory_order_relaxed)};
}

}  // namespace tally::bench

// glibc's own, under the names that it keeps for whoever stands in front of it; free() stays its.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t each);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) noexcept {
  tally::bench::note(bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t each) noexcept {
  tally::bench::note(count * each);
  return __libc_calloc(count, each);
}
void* realloc(void* old, std::size_t bytes) noexcept {
  tally::bench::note(bytes);
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  tally::bench::note(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** place, std::size_t alignment, std::size_t bytes) noexcept {
  tally::bench::note(bytes);
  *place = __libc_memalign(alignment, bytes);
  return *place == nullptr ? ENOMEM : 0;
}
}
// NOLINTEND(bugprone-reserved-identifier)
