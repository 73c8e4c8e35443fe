#include "aggregator/dedup/page_block.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace tally::aggregator::dedup {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kMappedFromBytes = 256 * 1024;  // below it, a mapping each would be too many
constexpr std::size_t kHugePageBytes = 2 * 1024 * 1024;

bool is_mapped(std::size_t bytes) { return bytes >= kMappedFromBytes; }

std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

std::byte* map(std::size_t bytes) {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(mapped);
}

// From the border of a huge page on, so that all but the end can lie on them: a probe at random
// then misses the table of pages far less. The end stays on small pages: no byte more is taken.
std::byte* map_on_huge_pages(std::size_t bytes) {
  std::byte* mapped = map(bytes + kHugePageBytes);
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const std::size_t ahead = rounded_up(address, kHugePageBytes) - address;
  if (ahead != 0) ::munmap(mapped, ahead);
  if (ahead != kHugePageBytes) ::munmap(mapped + ahead + bytes, kHugePageBytes - ahead);
  ::madvise(mapped + ahead, bytes, MADV_HUGEPAGE);  // advice only: without them it is slower
  return mapped + ahead;
}

}  // namespace

PageBlock::PageBlock(std::size_t bytes) {
  if (bytes == 0) return;
  if (!is_mapped(bytes)) {
    data_ = static_cast<std::byte*>(std::calloc(bytes, 1));
    if (data_ == nullptr) throw std::bad_alloc();
    bytes_ = bytes;
    return;
  }
  bytes_ = rounded_up(bytes, kPageBytes);
  data_ = bytes_ < kHugePageBytes ? map(bytes_) : map_on_huge_pages(bytes_);
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
