// The client library under load.
#include "producer/usage_client.h"
#include "tests/bench/producer/load.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>

namespace tally::bench {
namespace {

using Clock = std::chrono::steady_clock;
using producer::Recorded;
using producer::UsageClient;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Threads come to the clock one after the other, each with its share of a tick.
constexpr nanoseconds kTick{1'000'000};
constexpr std::uint64_t kCalls = 4'096;  // different calls of each thread, used again and again
constexpr milliseconds kFlush{120'000};

std::unique_ptr<UsageClient> open(const Load& load) {
  auto opened = UsageClient::open({.brokers = load.brokers,
                                   .topic = load.topic,
                                   .source = std::string(kSource),
                                   .level = producer::Level::kMemory,
                                   .kafka = kafka_settings()});
  if (!opened.client) fmt::print(stderr, "bench producer: {}\n", opened.problem);
  return std::move(opened.client);
}

// The broker knows the topic and every page is touched before the clock starts.
bool warm(UsageClient& client, const Load& load, std::uint64_t records) {
  for (std::uint64_t i = 0; i < records; ++i) {
    const Call call = make_call(i);
    const auto record = [&] {
      return client.record(kType, call.tenant, {{"tokens", call.tokens}, {"model", call.model}});
    };
    while (!record()) client.wait_for_room(kFlush);
  }
  if (client.flush(kFlush) == 0) return true;
  fmt::print(stderr, "bench producer: {} does not take events\n", load.brokers);
  return false;
}

struct Account {
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
};

Account account_of(const UsageClient& client) {
  const auto counts = client.counts();
  return {counts.accepted, counts.delivered, counts.dropped_full + counts.invalid + counts.closed};
}

// What two looks at the clock cost by themselves.
double clock_ns() {
  constexpr int kLooks = 100'000;
  const auto started = Clock::now();
  for (int i = 0; i < kLooks; ++i) static_cast<void>(Clock::now());
  return std::chrono::duration<double, std::nano>(Clock::now() - started).count() / kLooks;
}

}  // namespace

int run_paced(const Load& load) {
  const auto client = open(load);
  if (!client || !warm(*client, load, 100'000)) return 1;
  const auto threads = static_cast<std::uint64_t>(load.threads);
  const std::uint64_t each = load.records / threads;
  // Warming up waits for room; on the timetable nobody does.
  const std::uint64_t waits = account_of(*client).dropped;
  const std::uint64_t burst = std::max<std::uint64_t>(1, load.rate / threads / 1'000);
  std::vector<std::vector<std::uint32_t>> took(threads, std::vector<std::uint32_t>(each, 0));
  const auto begin = Clock::now() + milliseconds(100);
  const double cpu_before = cpu_seconds();
  in_threads(load.threads, [&](int thread) {
    std::vector<Call> calls;
    for (std::uint64_t i = 0; i < kCalls; ++i) calls.push_back(make_call(i * threads));
    auto& mine = took[static_cast<std::size_t>(thread)];
    auto due = begin + kTick * thread / load.threads;
    for (std::uint64_t i = 0; i < each; ++i) {
      while (i % burst == 0 && Clock::now() < due) std::this_thread::sleep_until(due);
      if (i % burst == 0) due += kTick;
      const Call& call = calls[i % kCalls];
      const auto before = Clock::now();
      client->record(kType, call.tenant, {{"tokens", call.tokens}, {"model", call.model}});
      mine[i] = static_cast<std::uint32_t>(
          std::min<std::int64_t>((Clock::now() - before) / nanoseconds(1), UINT32_MAX));
    }
  });
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double cpu = cpu_seconds() - cpu_before;
  const std::size_t left = client->flush(kFlush);
  std::vector<std::uint32_t> all;
  for (const auto& mine : took) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {
    return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))];
  };
  const Account account = account_of(*client);
  fmt::print(R"({{"records":{},"seconds":{:.3f},"cpu_seconds":{:.2f},"p50_ns":{},"p99_ns":{},)"
             R"("p999_ns":{},"max_ns":{},"clock_ns":{:.0f},"accepted":{},"delivered":{},)"
             R"("dropped":{},"left":{}}})"
             "\n",
             all.size(), seconds, cpu, at(0.5), at(0.99), at(0.999), all.back(), clock_ns(),
             account.accepted, account.delivered, account.dropped - waits, left);
  return left == 0 ? 0 : 1;
}

int run_unpaced(const Load& load) {
  const auto client = open(load);
  if (!client || !warm(*client, load, 1'000)) return 1;
  const std::uint64_t each = load.records / static_cast<std::uint64_t>(load.threads);
  const double cpu_before = cpu_seconds();
  const auto begin = Clock::now();
  in_threads(load.threads, [&](int thread) {
    std::vector<Call> calls;
    for (std::uint64_t i = 0; i < kCalls; ++i) calls.push_back(make_call(i));
    std::string id = calls[0].id;
    for (std::uint64_t i = 0; i < each; ++i) {
      const Call& call = calls[i % kCalls];
      number_id(id, static_cast<std::uint64_t>(thread) * each + i);
      const auto record = [&] {
        return client
            ->record(kType, call.tenant, {{"tokens", call.tokens}, {"model", call.model}},
                     {.id = id})
            .recorded;
      };
      while (record() == Recorded::kQueueFull) client->wait_for_room(milliseconds(1'000));
    }
  });
  const std::size_t left = client->flush(kFlush);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const Account account = account_of(*client);
  fmt::print(R"({{"records":{},"seconds":{:.3f},"cpu_seconds":{:.2f},"accepted":{},)"
             R"("delivered":{},"waits":{},"left":{}}})"
             "\n",
             each * static_cast<std::uint64_t>(load.threads), seconds, cpu_seconds() - cpu_before,
             account.accepted, account.delivered, account.dropped, left);
  return left == 0 ? 0 : 1;
}

}  // namespace tally::bench
