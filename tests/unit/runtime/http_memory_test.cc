// No memory: whoever answers from another thread needs none, and where the server's thread finds
// none, for a connection or for what it asks, that is closed. Nobody waits for an answer that
// cannot come. operator new of this program fails when it is told to.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {
thread_local bool has_memory = true;
thread_local bool is_server = false;
// Requests for memory by the server's thread until one fails; below 0: none does.
std::atomic<int> requests_left = -1;

void* allocate(std::size_t bytes) { return has_memory ? std::malloc(bytes) : nullptr; }
}  // namespace

void* operator new(std::size_t bytes) {
  const bool fails = is_server && requests_left >= 0 && requests_left-- == 0;
  void* memory = fails ? nullptr : allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// What asio takes for its operations; none is aligned to more than malloc() gives. Where a server's
// thread finds none for them the process ends.
extern "C" void* aligned_alloc(std::size_t, std::size_t bytes) noexcept { return allocate(bytes); }

namespace tally::runtime::http {
namespace {

// The first round fails nowhere, so that lists of asio's own have grown.
constexpr int kNone = -1;
constexpr std::string_view kEnd = "<end>";
constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::string_view kLastRequest = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

Response text(std::size_t bytes) {
  Response response;
  response.body.assign(bytes, 'x');
  response.body += kEnd;
  return response;
}

// The request that waits for its answer.
class Desk {
 public:
  Server::AsyncHandler handler() {
    return [this](Request&&, Responder responder) {
      is_server = true;
      responder_ = std::move(responder);
      is_there_ = true;
      is_there_.notify_one();
    };
  }
  Responder wait() {
    is_there_.wait(false);
    is_there_ = false;
    return std::move(responder_);
  }

 private:
  Responder responder_;
  std::atomic<bool> is_there_ = false;
};

TEST(HttpMemoryTest, AnAnswerFromAnotherThreadTakesNone) {
  Desk desk;
  const Server server({}, desk.handler());
  RawSocket socket(server.port());
  for (int i = 0; i < 3; ++i) {
    socket.send(kRequest);
    Responder responder = desk.wait();
    Response response = text(100);
    has_memory = false;
    std::move(responder).send(std::move(response));
    has_memory = true;
    EXPECT_THAT(socket.read_until(kEnd), testing::StartsWith("HTTP/1.1 200 "));
  }
  // A dropped one too: 500, and the thread that drops it needs nothing.
  socket.send(kRequest);
  Responder dropped = desk.wait();
  has_memory = false;
  dropped = Responder();
  has_memory = true;
  EXPECT_THAT(socket.read_until("}"), testing::StartsWith("HTTP/1.1 500 "));
}

// What a client was told in the end. One that waits for ever would hold up the test.
enum class Told { kAll, kFailure, kNothing };

Told read_end(RawSocket& socket) {
  const std::string answer = socket.read_until();
  if (answer.ends_with(kEnd)) return Told::kAll;
  return answer.starts_with("HTTP/1.1 500 ") ? Told::kFailure : Told::kNothing;
}

class WithoutMemory : public testing::TestWithParam<std::size_t> {};

// At each request of the server's thread for memory in turn, from the request's head on.
TEST_P(WithoutMemory, WhoAsksIsToldOrCutOff) {
  std::atomic<int> failing = -1;
  ServerOptions options;
  options.admit = [&](Request&) -> std::optional<Response> {
    is_server = true;
    requests_left = failing.exchange(-1);
    return std::nullopt;
  };
  const Server server(
      options, [](Request&&, Responder responder) { std::move(responder).send(text(GetParam())); });
  std::uint64_t cut = 0;
  for (int i = kNone, told = 0; told < 2; ++i) {
    SCOPED_TRACE(i);
    RawSocket socket(server.port());
    failing = i;
    socket.send(kLastRequest);
    const Told end = read_end(socket);
    const bool has_failed = requests_left.exchange(-1) < 0;
    if (!has_failed) ++told;
    EXPECT_TRUE(has_failed || end == Told::kAll);
    if (end == Told::kNothing) ++cut;
  }
  EXPECT_GT(cut, 0U);
  EXPECT_EQ(server.stats().connections_failed, cut);
}

// And when the answer comes from another thread, and the server's is about to send it.
TEST_P(WithoutMemory, WhoWaitsIsToldOrCutOff) {
  Desk desk;
  const Server server({}, desk.handler());
  std::uint64_t cut = 0;
  for (int i = kNone, told = 0; told < 2; ++i) {
    SCOPED_TRACE(i);
    RawSocket socket(server.port());
    socket.send(kLastRequest);
    Responder responder = desk.wait();
    Response response = text(GetParam());
    requests_left = i;
    std::move(responder).send(std::move(response));
    const Told end = read_end(socket);
    const bool has_failed = requests_left.exchange(-1) < 0;
    if (!has_failed) ++told;
    EXPECT_TRUE(has_failed || end == Told::kAll);
    if (end == Told::kNothing) ++cut;
  }
  EXPECT_GT(cut, 0U);
  EXPECT_EQ(server.stats().connections_failed, cut);
}

class WithoutMemoryToConnect : public testing::TestWithParam<std::size_t> {};

// At each request of the server's thread for memory in turn, from the accepted connection on.
TEST_P(WithoutMemoryToConnect, WhoConnectsIsToldOrCutOff) {
  ServerOptions options;
  options.max_connections = GetParam();
  const bool has_room = options.max_connections > 1;
  Server server(options, [](Request&&, Responder responder) {
    is_server = true;
    std::move(responder).send(text(100));
  });
  std::optional<RawSocket> first(std::in_place, server.port());
  first->send(kRequest);
  first->read_until(kEnd);
  std::uint64_t cut = 0;
  std::uint64_t tries = 0;
  for (int i = kNone, told = 0; told < 2; ++i, ++tries) {
    SCOPED_TRACE(i);
    requests_left = i;
    RawSocket socket(server.port());
    socket.send(kLastRequest);
    const std::string answer = socket.read_until();
    const bool has_failed = requests_left.exchange(-1) < 0;
    if (!has_failed) ++told;
    EXPECT_TRUE(has_failed || answer.starts_with(has_room ? "HTTP/1.1 200 " : "HTTP/1.1 503 "));
    if (answer.empty()) ++cut;
  }
  // One that was answered may still have failed to take its leave.
  EXPECT_GT(cut, 0U);
  EXPECT_GE(server.stats().connections_failed, cut);
  EXPECT_LT(server.stats().connections_failed, tries);
  // Who was there before is, and none of the others is counted any more.
  first->send(kLastRequest);
  EXPECT_THAT(first->read_until(kEnd), testing::StartsWith("HTTP/1.1 200 "));
  first.reset();
  EXPECT_TRUE(server.drain(std::chrono::steady_clock::now() + std::chrono::seconds(30)));
}

// One is refused while the first is there, or it is not.
INSTANTIATE_TEST_SUITE_P(Rooms, WithoutMemoryToConnect, testing::Values(1, 100));

// One that fits the buffer of the socket, and one that does not.
INSTANTIATE_TEST_SUITE_P(Sizes, WithoutMemory, testing::Values(1'000, 16 * 1024 * 1024));

}  // namespace
}  // namespace tally::runtime::http
