// What the runs of the producer bench share: the event, the settings, and how a run is told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tally::bench {

struct Load {
  std::string brokers;
  std::string topic;
  int threads = 4;
  std::uint64_t records = 0;  // of all threads together
  std::uint64_t rate = 0;     // a second, of all threads together
};

inline constexpr std::string_view kSource = "/gateway";
inline constexpr std::string_view kType = "llm.completion";

// The settings of both producers: the library's own defaults, written out, so that the bare one
// cannot fall behind them unseen.
[[nodiscard]] std::map<std::string, std::string> kafka_settings();

// What one call says: made before the clock starts.
struct Call {
  std::string id;  // 36 bytes, as a UUID has
  std::string tenant;
  std::string model;
  std::uint64_t tokens = 0;
};
[[nodiscard]] Call make_call(std::uint64_t number);
// Writes another number into an id of make_call().
void number_id(std::string& id, std::uint64_t number);

// Runs `threads` of them at once and waits for all: run(thread).
template <class Run>
void in_threads(int threads, const Run& run) {
  std::vector<std::thread> all;
  for (int thread = 0; thread < threads; ++thread)
    all.emplace_back([&run, thread] { run(thread); });
  for (std::thread& one : all) one.join();
}

double cpu_seconds();

// Each prints one line of JSON and returns an exit code.
int run_paced(const Load& load);    // record() on a timetable: how long each call took
int run_unpaced(const Load& load);  // record() as fast as it goes, to the last delivery
int run_bare(const Load& load);     // the same JSON through librdkafka alone

}  // namespace tally::bench
