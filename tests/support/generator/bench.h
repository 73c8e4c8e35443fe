// Writes the benchmark's stream to Kafka, as fast as the broker takes it or at a rate.
#pragma once

#include "tests/support/generator/bench_stream.h"

#include <filesystem>
#include <string>

namespace tally::generator {

struct BenchTarget {
  std::string brokers;
  std::string topic;
  int threads = 2;
  // Records a second, by a timetable that does not wait for the broker (pacer.h); 0: no timetable.
  std::int64_t rate = 0;
  std::int64_t sample = 20;  // with a rate: one record of so many goes to published.csv
  // bench-catalogue.json, expected.json and expected_windows.csv are written here; with a rate
  // published.csv and pace.json too.
  std::filesystem::path out;
};

// Throws std::runtime_error with a sentence when the topic is missing or the broker does not take a
// record.
BenchSums write_bench(const BenchOptions& options, const BenchTarget& target);

}  // namespace tally::generator
