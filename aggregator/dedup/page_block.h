// Zeroed memory that goes back to the kernel when it is freed, whatever the allocator keeps: large
// blocks are mappings of their own, asked to lie on huge pages. Throws std::bad_alloc.
#pragma once

#include <cstddef>
#include <utility>

namespace tally::aggregator::dedup {

class PageBlock {
 public:
  PageBlock() = default;
  explicit PageBlock(std::size_t bytes);
  ~PageBlock();
  PageBlock(PageBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PageBlock& operator=(PageBlock&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  [[nodiscard]] std::byte* data() const { return data_; }
  // What it takes of the process's memory once all of it was touched.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tally::aggregator::dedup
