// A bounded ring of bytes between many recording threads and the one that hands over.
//
// Memory is cut into lines of 64 bytes. An event takes whole lines, one after the other, and its
// first word says what it is: free, event, or padding (what was left before the end, where the next
// event did not fit). A thread takes lines by moving `tail_` (one compare-and-swap), fills them and
// sets the word last; the reader empties the first word of each line before it moves `head_`, so
// whatever line the next event begins on, its word is free until it is filled. Events come out in
// the order in which their lines were taken; one that is being filled holds up those behind it.
#pragma once

#include "producer/cache_line.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>

namespace tally::producer {

// What stands before an event's bytes; the key, then the value, then `room` follow it.
struct SlotHeader {
  std::uint32_t word;   // of the ring
  std::uint32_t lines;  // of the ring
  std::uint32_t key_bytes;
  std::uint32_t value_bytes;
  std::uint64_t tag;

  [[nodiscard]] char* key() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] char* value() { return key() + key_bytes; }
};

// What recording threads write, in one line of memory: it crosses between their cores once for an
// event, not once for each of its counts.
struct alignas(kLineBytes) RecordersLine {
  // The ring's.
  std::atomic<std::uint64_t> tail{0};       // lines taken since the begin
  std::atomic<std::uint64_t> head_seen{0};  // spares them the reader's line
  // The client's. `claimed` holds the bound and is given back where the ring has no room;
  // `accepted` only grows.
  std::atomic<std::uint64_t> claimed{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> ended_seen{0};  // spares them the line of the ends
};
static_assert(sizeof(RecordersLine) == kLineBytes);

class EventRing {
 public:
  // `bytes` is a power of two. Touches all of it: no recording thread meets a page that is not
  // there. `recorders` outlives the ring.
  EventRing(std::size_t bytes, RecordersLine& recorders);

  // Any thread: room for a header and `bytes` behind it, or nullptr when the ring is full. Fill it,
  // then publish() it; nothing may fail in between. `bytes` is at most a quarter of the ring.
  [[nodiscard]] SlotHeader* reserve(std::size_t bytes);
  static void publish(SlotHeader* slot);

  // The reading thread: the oldest event, nullptr when there is none (or it is being filled). It
  // stays until pop().
  [[nodiscard]] SlotHeader* front();
  void pop();

  // Whether what ends at line `end` fits behind `head`. The head may be beyond it: then the tail
  // that was read is long gone, and moving it will fail.
  [[nodiscard]] static constexpr bool fits(std::uint64_t end, std::uint64_t head,
                                           std::uint64_t lines) {
    return static_cast<std::int64_t>(end - head) <= static_cast<std::int64_t>(lines);
  }

  // Any thread: whether at least a half is free.
  [[nodiscard]] bool has_room() const;

 private:
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t(kLineBytes));
    }
  };
  [[nodiscard]] SlotHeader* at(std::uint64_t line) const;

  std::uint64_t lines_;
  std::unique_ptr<std::byte[], Free> memory_;
  RecordersLine& recorders_;
  // Written by the reader.
  alignas(kLineBytes) std::atomic<std::uint64_t> head_{0};  // lines given back
};

}  // namespace tally::producer
