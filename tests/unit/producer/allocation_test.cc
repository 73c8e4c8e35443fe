// record() asks for no heap once its thread has recorded: operator new of this program counts.
#include "producer/usage_client.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace {
thread_local std::uint64_t allocations = 0;
thread_local bool starving = false;

void* counted(std::size_t bytes) {
  ++allocations;
  void* memory = starving ? nullptr : std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace tally::producer {
namespace {

constexpr std::string_view kTenant = "a tenant whose name does not fit into a small string";
constexpr std::string_view kOdd = "\"quoted\" and \xe2\x82\xac: twice as long as it looks";
constexpr std::string_view kNested =
    R"({"list":[{"a":1,"b":2},{"a":3}],"a member with a name that is long":{"x":{"y":1.50}}})";

void record_all_forms(UsageClient& client) {
  EXPECT_TRUE(client.record("t", kTenant, {{"n", 1}, {"cost", Decimal{"12.50"}}, {"text", kOdd}}));
  EXPECT_TRUE(client.record("t", kOdd, {{"n", 1}}, {.id = kTenant, .source = kOdd}));
  EXPECT_TRUE(client.record({.type = "t", .tenant = kTenant, .data = kNested}));
}

TEST(Allocation, NoneWhenWarm) {
  Script script;
  UsageClientOptions options;
  options.source = "/gateway";
  options.level = Level::kMemory;
  auto client = std::move(open_client(options, fake(script)).client);
  allocations = 0;
  record_all_forms(*client);
  EXPECT_GT(allocations, 0U) << "the counter counts nothing";
  allocations = 0;
  // Past the second's end too.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'100);
  while (std::chrono::steady_clock::now() < until) {
    record_all_forms(*client);
    ASSERT_EQ(client->flush(std::chrono::milliseconds(10'000)), 0U);
  }
  EXPECT_EQ(allocations, 0U);
}

TEST(Allocation, NoneWhenTheQueueIsFull) {
  Script script;
  script.set_answer(Offered::kFull);
  UsageClientOptions options;
  options.source = "/gateway";
  options.max_outstanding_events = 1;
  options.drain_deadline = std::chrono::milliseconds(0);
  auto client = std::move(open_client(options, fake(script)).client);
  EXPECT_TRUE(client->record("t", "tenant", {{"n", 1}}));
  allocations = 0;
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(client->record("t", "tenant", {{"n", 1}}).recorded, Recorded::kQueueFull);
  }
  EXPECT_EQ(allocations, 0U);
}

// Ends each event while its thread is refused all memory.
class StarvingSink final : public EventSink {
 public:
  explicit StarvingSink(OnOutcome on_outcome) : on_outcome_(std::move(on_outcome)) {}
  Offered offer(const SinkEvent& event) override {
    starving = true;
    on_outcome_({event.tag, event.key, false, "a reason that does not fit into a small string"});
    starving = false;
    return Offered::kAccepted;
  }

 private:
  OnOutcome on_outcome_;
};

// A loss is told and counted where there is no memory to name it in.
TEST(Allocation, AnEndNeedsNone) {
  UsageClientOptions options;
  options.source = "/gateway";
  auto client =
      std::move(open_client(options, [](EventSink::OnOutcome on_outcome) -> core::Result<MadeSink> {
                  return MadeSink{std::make_unique<StarvingSink>(std::move(on_outcome)), nullptr};
                }).client);
  UsageEvent event{.type = "t", .tenant = "tenant", .data = "{}"};
  const Ended made = client->record_future(event).get();
  EXPECT_EQ(made.id.size(), 36U);
  EXPECT_FALSE(made.kept);
  event.id = kTenant;
  const Ended given = client->record_future(event).get();
  EXPECT_EQ(given.id, kTenant);
  EXPECT_EQ(given.reason, "a reason that does not fit into a small string");
  ASSERT_EQ(client->flush(std::chrono::milliseconds(10'000)), 0U);
  const UsageCounts counts = client->counts();
  EXPECT_EQ(counts.failed, 2U);
  EXPECT_EQ(counts.failed_by_reason.at("other"), 2U);
}

}  // namespace
}  // namespace tally::producer
