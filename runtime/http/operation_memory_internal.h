// The memory of one asynchronous operation that is begun again and again, so that to begin it takes
// none. For the sources of this folder only.
#pragma once

#include "core/check.h"

#include <array>
#include <cstddef>

namespace tally::runtime::http {

// Outlives the io_context. It is free again when the operation's handler runs; whoever begins the
// next one knows that this has happened.
class OperationMemory {
 public:
  // For asio::bind_allocator().
  template <typename T>
  class Allocator {
   public:
    using value_type = T;

    explicit Allocator(OperationMemory& memory) noexcept : memory_(&memory) {}
    template <typename U>
    explicit Allocator(const Allocator<U>& other) noexcept : memory_(other.memory_) {}

    [[nodiscard]] T* allocate(std::size_t count) {
      static_assert(sizeof(T) <= kBytes && alignof(T) <= alignof(std::max_align_t));
      TALLY_CHECK(count == 1 && !memory_->is_taken_, "{} at once", count);
      memory_->is_taken_ = true;
      return reinterpret_cast<T*>(memory_->bytes_.data());
    }
    void deallocate(T*, std::size_t) noexcept { memory_->is_taken_ = false; }
    friend bool operator==(const Allocator&, const Allocator&) = default;

   private:
    template <typename U>
    friend class Allocator;
    OperationMemory* memory_;
  };
  [[nodiscard]] Allocator<std::byte> allocator() { return Allocator<std::byte>(*this); }

 private:
  static constexpr std::size_t kBytes = 128;

  alignas(std::max_align_t) std::array<std::byte, kBytes> bytes_{};
  bool is_taken_ = false;
};

}  // namespace tally::runtime::http
