// The benchmarks of the aggregator's stages; each function adds its own to google-benchmark.
#pragma once

#include <cstdint>
#include <filesystem>

namespace tally::bench {

void add_baselines();
void add_decode();
void add_identity();

struct MemoryOptions {
  std::uint64_t cold_entries = 20'000'000;
  std::filesystem::path folder;  // of the local runs
};
void add_memory(const MemoryOptions& options);

// The path from a record's bytes to the plan; those under kSteadyPath are held to the bar.
inline constexpr const char* kSteadyPath = "fold/";
void add_fold();
void add_plan();
// Against the server of TALLY_TEST_PG, in databases of its own, dropped when the benchmarks are
// cleared.
void add_commit();

}  // namespace tally::bench
