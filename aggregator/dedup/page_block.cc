#include "aggregator/dedup/page_block.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace tally::aggregator::dedup {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kMappedFromBytes = 256 * 1024;  // below it, a mapping each would be too many
constexpr std::size_t kHugeFromBytes = 8 * 1024 * 1024;

bool is_mapped(std::size_t bytes) { return bytes >= kMappedFromBytes; }

}  // namespace

PageBlock::PageBlock(std::size_t bytes) {
  if (bytes == 0) return;
  if (!is_mapped(bytes)) {
    data_ = static_cast<std::byte*>(std::calloc(bytes, 1));
    if (data_ == nullptr) throw std::bad_alloc();
    bytes_ = bytes;
    return;
  }
  bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  // Advice only: without huge pages a probe is slower, never wrong.
  if (bytes >= kHugeFromBytes) ::madvise(mapped, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(mapped);
  bytes_ = bytes;
}

PageBlock::~PageBlock() {
  if (data_ == nullptr) return;
  if (is_mapped(bytes_)) {
    ::munmap(data_, bytes_);
  } else {
    std::free(data_);
  }
}

}  // namespace tally::aggregator::dedup
