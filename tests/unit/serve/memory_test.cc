// What stays of large requests when they are over, and what the end of one takes: operator new of
// this program counts, and fails when it is told to.
#include "core/limits.h"
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"
#include "tests/unit/serve/rig.h"

#include <gmock/gmock.h>
#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

namespace {
thread_local std::int64_t held_bytes = 0;  // what this thread asked for, less what it gave back
thread_local bool has_memory = true;

void* allocate(std::size_t bytes) { return has_memory ? std::malloc(bytes) : nullptr; }

void* counted(std::size_t bytes) {
  void* memory = allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  held_bytes += static_cast<std::int64_t>(::malloc_usable_size(memory));
  return memory;
}

void give_back(void* memory) {
  held_bytes -= static_cast<std::int64_t>(::malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
// What asio takes for its operations; none is aligned to more than malloc() gives.
extern "C" void* aligned_alloc(std::size_t, std::size_t bytes) noexcept { return allocate(bytes); }

namespace tally::producer::serve {
namespace {

constexpr std::size_t kLargeBytes = 4 * 1024 * 1024;
constexpr std::int64_t kMayStayBytes = 64 * 1024;

class Memory : public IntakeTest {
 protected:
  // By how much more is held after the second request than after the first, small one.
  std::int64_t left_of(const Request& small, const Request& large) {
    EXPECT_EQ(ask(small).status, 202);
    const std::int64_t before = held_bytes;
    EXPECT_NE(ask(large).status, 202);
    return held_bytes - before;
  }
};

TEST_F(Memory, OfAStringWithEscapesNothingStays) {
  const std::string large = event("a\\n" + std::string(kLargeBytes, 'x'));
  EXPECT_LT(left_of(post_batch({event("a")}), post_batch({large})), kMayStayBytes);
}

// The slots of the largest batches that there may be would hold 2.4 GB.
TEST_F(Memory, AFreeSlotKeepsTheBitsOfAUsualBatch) {
  InFlight in_flight({.requests = 1, .events = core::kMaxServedBatchEvents}, probe_);
  const auto run = [&](std::size_t events) {
    InFlight::Ticket ticket = 0;
    Reply reply([](const Response& response) { EXPECT_EQ(response.status, 202); });
    ASSERT_EQ(in_flight.begin({.events = events, .bytes = 1}, nullptr, reply, ticket),
              InFlight::Began::kYes);
    for (std::size_t i = 0; i < events; ++i) in_flight.missed(ticket, i, Fate::kKept, "");
    in_flight.offered(ticket);
  };
  run(1);
  const std::int64_t before = held_bytes;
  run(core::kMaxServedBatchEvents);
  EXPECT_LT(held_bytes - before, 4 * 1024);
}

// The end of the last event is told on Kafka's thread, which may throw nothing: the request is
// answered all the same.
TEST_F(Memory, TheEndOfARequestTakesNone) {
  InFlight in_flight({.requests = 1}, probe_);
  InFlight::Ticket ticket = 0;
  std::atomic<bool> has_begun = false;
  const runtime::http::Server server({}, [&](Request&&, runtime::http::Responder responder) {
    Reply reply(std::move(responder));
    EXPECT_EQ(in_flight.begin({.events = 2, .bytes = 1}, nullptr, reply, ticket),
              InFlight::Began::kYes);
    in_flight.offered(ticket);
    has_begun = true;
    has_begun.notify_one();
  });
  runtime::http::RawSocket socket(server.port());
  for (const bool kept : {true, false}) {
    socket.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    has_begun.wait(false);
    has_begun = false;
    has_memory = false;
    for (std::size_t i = 0; i < 2; ++i) {
      in_flight.ended({InFlight::tag(ticket, i), "key", kept, "_MSG_TIMED_OUT"});
    }
    has_memory = true;
    const std::string answer = socket.read_until("\r\n\r\n");
    EXPECT_THAT(answer, testing::StartsWith(kept ? "HTTP/1.1 202 " : "HTTP/1.1 503 "));
    EXPECT_THAT(answer, testing::HasSubstr("\r\nContent-Length: 0\r\n"));
  }
}

}  // namespace
}  // namespace tally::producer::serve
