// Calls from many threads at once; the tsan build runs these too.
#include "tests/unit/sandbox/sandbox_fixture.h"

#include <atomic>
#include <thread>
#include <vector>

namespace tally::sandbox {
namespace {

using ThreadsTest = SandboxTest;

TEST_F(ThreadsTest, OneIdentifierUnderManyKeysIsTakenOnce) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 25;
  set({{"concurrency", "off"}});
  meter();
  std::atomic<int> taken = 0;
  std::atomic<int> duplicates = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kThreads; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string name = "i" + std::to_string(round);
        const auto response = event(name, "1", "", name + "-" + std::to_string(caller));
        if (response.status == 200) ++taken;
        if (response.status == 400) ++duplicates;
        call("GET", "/sandbox/oracle/totals");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(taken, kRounds);
  EXPECT_EQ(duplicates, kRounds * (kThreads - 1));
  EXPECT_EQ(totals()["tokens"]["total"], std::to_string(kRounds));
  EXPECT_EQ(counters()["idempotency_keys"], kRounds * kThreads);
}

}  // namespace
}  // namespace tally::sandbox
