// No memory, at any one request for it: the spool says so and goes on, and keeps nothing by halves.
// operator new of this program fails when it is told to.
#include "tests/unit/spool/rig.h"

#include "producer/spool/spool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace {
// This thread's requests until one fails; below 0: none does.
thread_local int requests_left = -1;

void* allocate(std::size_t bytes) {
  if (requests_left >= 0 && requests_left-- == 0) throw std::bad_alloc();
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace tally::producer::spool {
namespace {

constexpr std::chrono::milliseconds kLong{20'000};
constexpr StoreLimits kLimits{10'000'000, 1'000'000};

TEST(Memory, AnOfferTakesAllOfAnEventOrNothing) {
  MemoryDisk disk(1);
  std::vector<Event> taken;
  int refused = 0;
  {
    SpoolOptions options;
    options.limits = kLimits;
    auto spool = std::move(Spool::open(disk.folder(), options).value());
    // The first requests of a batch, and those at which it grows.
    for (int i = 0; i < 400; ++i) {
      const Event one = event(i, 500);
      requests_left = i % 3;
      const Offered offered = spool->offer({one.first, one.second, 0});
      requests_left = -1;
      if (offered == Offered::kAccepted) {
        taken.push_back(one);
      } else {
        EXPECT_EQ(offered, Offered::kFull);
        ++refused;
      }
      if (i % 50 == 0) {
        ASSERT_TRUE(spool->flush(kLong));
      }
    }
  }
  EXPECT_GT(refused, 0);
  auto rig = Rig::open(disk, kLimits);
  ASSERT_TRUE(rig);
  EXPECT_EQ(rig.value()->read().events, taken);
}

TEST(Memory, TheWriterTellsWhatItDidNotKeep) {
  int failures = 0;
  for (int failing = 0; failing < 60; ++failing) {
    SCOPED_TRACE(failing);
    MemoryDisk disk(1);
    auto rig = Rig::open(disk, kLimits);
    ASSERT_TRUE(rig);
    Group group;
    append_frame(group.bytes, "id-0", "value", 0, body_key(rig.value()->store().spool()));
    group.frame_bytes.push_back(static_cast<std::uint32_t>(group.bytes.size()));
    requests_left = failing;
    const Kept kept = rig.value()->appender().append(group);
    requests_left = -1;
    EXPECT_EQ(kept.records == 1, !kept.failure);
    failures += kept.failure ? 1 : 0;
    ASSERT_EQ(rig.value()->append({event(1)}).records, 1U);
    const auto read = rig.value()->read();
    ASSERT_EQ(read.events.size(), kept.records + 1);
    EXPECT_EQ(read.events.back(), event(1));
  }
  EXPECT_GT(failures, 3);
}

}  // namespace
}  // namespace tally::producer::spool
