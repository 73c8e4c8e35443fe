#include "producer/event_ring.h"

#include "core/check.h"

#include <bit>
#include <cstring>

namespace tally::producer {
namespace {

constexpr std::uint32_t kFree = 0;
constexpr std::uint32_t kEvent = 1;
constexpr std::uint32_t kPadding = 2;

std::atomic_ref<std::uint32_t> word_of(SlotHeader* slot) { return std::atomic_ref(slot->word); }

std::byte* zeroed(std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(::operator new[](bytes, std::align_val_t(kLineBytes)));
  std::memset(memory, 0, bytes);
  return memory;
}

}  // namespace

static_assert(sizeof(SlotHeader) <= kLineBytes && kFree == 0);

EventRing::EventRing(std::size_t bytes, RecordersLine& recorders)
    : lines_(bytes / kLineBytes), memory_(zeroed(bytes)), recorders_(recorders) {
  TALLY_CHECK(std::has_single_bit(bytes) && lines_ >= 4, "a ring of {} bytes", bytes);
}

SlotHeader* EventRing::at(std::uint64_t line) const {
  return reinterpret_cast<SlotHeader*>(memory_.get() + (line & (lines_ - 1)) * kLineBytes);
}

SlotHeader* EventRing::reserve(std::size_t bytes) {
  const std::uint64_t lines = (sizeof(SlotHeader) + bytes + kLineBytes - 1) / kLineBytes;
  TALLY_CHECK(lines <= lines_ / 2, "{} lines in a ring of {}", lines, lines_);
  std::uint64_t tail = recorders_.tail.load(std::memory_order_relaxed);
  std::uint64_t padding = 0;
  do {
    const std::uint64_t to_end = lines_ - (tail & (lines_ - 1));
    padding = lines <= to_end ? 0 : to_end;
    const std::uint64_t end = tail + padding + lines;
    // Acquire, though another thread may have read head_ for us: what the reader emptied before it
    // is seen here too.
    if (!fits(end, recorders_.head_seen.load(std::memory_order_acquire), lines_)) {
      const std::uint64_t head = head_.load(std::memory_order_acquire);
      if (!fits(end, head, lines_)) return nullptr;
      recorders_.head_seen.store(head, std::memory_order_release);
    }
  } while (!recorders_.tail.compare_exchange_weak(tail, tail + padding + lines,
                                                  std::memory_order_relaxed));
  if (padding > 0) {
    SlotHeader* skipped = at(tail);
    skipped->lines = static_cast<std::uint32_t>(padding);
    word_of(skipped).store(kPadding, std::memory_order_release);
  }
  SlotHeader* slot = at(tail + padding);
  slot->lines = static_cast<std::uint32_t>(lines);
  // The next event, of whichever thread: its lines were last touched a whole round of the ring ago.
  for (std::uint64_t line = lines; line < 2 * lines; ++line) {
    __builtin_prefetch(at(tail + padding + line), 1);
  }
  return slot;
}

void EventRing::publish(SlotHeader* slot) {
  word_of(slot).store(kEvent, std::memory_order_release);
}

SlotHeader* EventRing::front() {
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  SlotHeader* slot = at(head);
  const std::uint32_t word = word_of(slot).load(std::memory_order_acquire);
  if (word == kFree) return nullptr;
  if (word == kEvent) return slot;
  pop();
  return front();
}

void EventRing::pop() {
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  const std::uint64_t lines = at(head)->lines;
  for (std::uint64_t line = 0; line < lines; ++line) {
    word_of(at(head + line)).store(kFree, std::memory_order_relaxed);
  }
  head_.store(head + lines, std::memory_order_release);
}

bool EventRing::has_room() const {
  return fits(recorders_.tail.load(std::memory_order_relaxed),
              head_.load(std::memory_order_relaxed), lines_ / 2);
}

}  // namespace tally::producer
