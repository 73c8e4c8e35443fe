#include "runtime/lifecycle/allocator.h"

#include <malloc.h>

namespace tally::runtime::lifecycle {

void keep_freed_memory() {
  constexpr int kKeptBytes = 256 * 1024 * 1024;
  // 32 MiB is the largest threshold that glibc takes on 64-bit machines.
  mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  mallopt(M_TOP_PAD, 4 * 1024 * 1024);
}

}  // namespace tally::runtime::lifecycle
