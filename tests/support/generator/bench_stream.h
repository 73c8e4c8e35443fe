// The benchmark's stream. Record number n is a function of (seed, n) alone: any thread can make any
// part of it, in any order, and a duplicate is made by making its original again.
#pragma once

#include "tests/support/generator/expectation.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tally::generator {

struct BenchOptions {
  std::int64_t records = 12'000'000;
  std::uint64_t seed = 1;
  int tenants = 1'000;
  int dimensions = 0;         // group_by dimensions of every meter
  int dimension_values = 10;  // of each
  int hours = 24;             // that the events' times span
  std::int64_t start_micros = 0;
};

struct BenchRecord {
  std::string id;
  std::string text;
};

// Of one tenant, meter and hour.
struct BenchWindow {
  std::int64_t thousandths = 0;
  std::int64_t events = 0;
};

// What one thread's share came to: amounts in thousandths.
struct BenchSums {
  std::int64_t counted = 0;
  std::int64_t duplicates = 0;
  Wide api_calls = 0;
  Wide ai_tokens = 0;
  Wide job_minutes = 0;
  std::int64_t bytes = 0;
  std::vector<BenchWindow> windows;  // empty, or one for each tenant, meter and hour; BenchStream's
  void add(const BenchSums& other);
};

class BenchStream {
 public:
  explicit BenchStream(const BenchOptions& options);
  // Makes record `number` in `record` (its strings are used again) and adds it to `sums`. Any
  // thread.
  void make(std::int64_t number, BenchRecord& record, BenchSums& sums) const;
  [[nodiscard]] nlohmann::ordered_json catalogue() const;
  [[nodiscard]] nlohmann::ordered_json expected(const BenchSums& sums) const;
  // CSV with a head: tenant, meter, start of the hour in seconds since 1970, quantity and events of
  // each window that has events, all dimensions together.
  [[nodiscard]] std::string expected_windows(const BenchSums& sums) const;

 private:
  [[nodiscard]] bool is_copy(std::int64_t number) const;
  [[nodiscard]] std::int64_t original_of(std::int64_t number) const;
  // Returns the event's amount in thousandths.
  std::int64_t append_data(std::uint64_t kind, std::uint64_t dice, std::string& out) const;
  void count(std::uint64_t kind, std::uint64_t tenant, std::int64_t micros,
             std::int64_t thousandths, BenchSums& sums) const;
  BenchOptions options_;
};

}  // namespace tally::generator
