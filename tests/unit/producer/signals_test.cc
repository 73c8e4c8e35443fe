// The service's signal handlers never run on a thread of the client.
#include "producer/usage_client.h"
#include "tests/unit/producer/fake_sink.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace tally::producer {
namespace {

// The blocked signals of each thread of this process, by thread id.
std::map<std::string, std::uint64_t> blocked_by_thread() {
  std::map<std::string, std::uint64_t> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(entry.path() / "status");
    std::string word;
    while (status >> word) {
      if (word != "SigBlk:") continue;
      status >> word;
      threads[entry.path().filename()] = std::stoull(word, nullptr, 16);
    }
  }
  return threads;
}

// The sink's thread ran the service's handlers.
TEST(Signals, AreBlockedOnAllThreadsOfTheClientAndNowhereElse) {
  // A sanitizer's own thread begins with the first of the process.
  std::thread([] {}).join();
  const auto before = blocked_by_thread();
  Script script;
  UsageClientOptions options;
  options.source = "/gateway";
  const Opened opened = open_client(options, fake(script));
  ASSERT_TRUE(opened.client) << opened.problem;
  // Each has run: until then the C library blocks all.
  ASSERT_TRUE(opened.client->record("t", "tenant", {{"n", 1}}));
  ASSERT_EQ(opened.client->flush(std::chrono::milliseconds(20'000)), 0U);
  int own = 0;
  for (const auto& [thread, blocked] : blocked_by_thread()) {
    const auto known = before.find(thread);
    if (known != before.end()) {
      EXPECT_EQ(blocked, known->second) << thread;
      continue;
    }
    ++own;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM, SIGPROF}) {
      EXPECT_NE(blocked >> (signal - 1) & 1U, 0U) << signal;
    }
  }
  EXPECT_EQ(own, 2);  // the handing thread and the sink's
}

}  // namespace
}  // namespace tally::producer
