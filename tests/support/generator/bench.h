// Writes the benchmark's stream to Kafka, as fast as the broker takes it.
#pragma once

#include "tests/support/generator/bench_stream.h"

#include <filesystem>
#include <string>

namespace tally::generator {

struct BenchTarget {
  std::string brokers;
  std::string topic;
  int threads = 2;
  std::filesystem::path out;  // bench-catalogue.json and expected.json are written here
};

// Throws std::runtime_error with a sentence when the topic is missing or the broker does not take a
// record.
BenchSums write_bench(const BenchOptions& options, const BenchTarget& target);

}  // namespace tally::generator
