#include "tests/support/generator/publications.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace tally::generator {
namespace {

std::int64_t nanos(Pacer::Clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

}  // namespace

Publications::Publications(std::int64_t every, std::int64_t expected) : every_(every) {
  rows_.reserve(static_cast<std::size_t>(expected / every + 1));
}

void Publications::note(std::int64_t number, std::int32_t partition, std::int64_t offset,
                        Pacer::Clock::time_point due, Pacer::Clock::time_point acked) {
  last_acked_ = std::max(last_acked_, acked);
  if (number % every_ == 0) rows_.push_back({partition, offset, nanos(due), nanos(acked)});
}

void Publications::write(const std::filesystem::path& path) const {
  std::string text = "partition,offset,due_ns,acked_ns\n";
  for (const Row& row : rows_) {
    fmt::format_to(std::back_inserter(text), "{},{},{},{}\n", row.partition, row.offset,
                   row.due_nanos, row.acked_nanos);
  }
  std::ofstream file(path, std::ios::trunc);
  file << text << std::flush;
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be written", path.string()));
}

}  // namespace tally::generator
