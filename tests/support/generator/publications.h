// Where and when records of a paced stream were published: one of every so many, with the offset
// that it was given and the moments when it was due and when the broker's answer came.
//
// Threads: note() on one thread (the producer's); write() when that thread is done.
#pragma once

#include "tests/support/generator/pacer.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace tally::generator {

class Publications {
 public:
  // `expected` noted records have room: noting one must not wait for memory.
  Publications(std::int64_t every, std::int64_t expected);
  void note(std::int64_t number, std::int32_t partition, std::int64_t offset,
            Pacer::Clock::time_point due, Pacer::Clock::time_point acked);
  // The latest of all that note() was given, sampled or not; the clock's epoch when there is none.
  [[nodiscard]] Pacer::Clock::time_point last_acked() const { return last_acked_; }
  // partition,offset,due_ns,acked_ns with a heading. Throws std::runtime_error.
  void write(const std::filesystem::path& path) const;

 private:
  struct Row {
    std::int32_t partition;
    std::int64_t offset;
    std::int64_t due_nanos;
    std::int64_t acked_nanos;
  };
  std::int64_t every_;
  std::vector<Row> rows_;
  Pacer::Clock::time_point last_acked_;
};

}  // namespace tally::generator
