// The same work on tally's runs and, where librocksdb is installed, on RocksDB: identities are
// spilled to disk in equal portions, then another process opens what lies there and probes in
// random order, 95 % unknown and 5 % remembered. One line of figures each.
//
//   dedup_runs fill  tally|rocksdb FOLDER ENTRIES PORTIONS
//   dedup_runs probe tally|rocksdb FOLDER ENTRIES PROBES
#include "tests/bench/dedup_store.h"

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

namespace tally::bench {
namespace {

std::int64_t cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::int64_t wall_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::int64_t rss_anon_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssAnon:", 0) == 0) return std::stoll(line.substr(8));
  }
  return 0;
}

std::uintmax_t bytes_below(const std::filesystem::path& folder) {
  std::uintmax_t bytes = 0;
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder)) {
    if (item.is_regular_file()) bytes += item.file_size();
  }
  return bytes;
}

std::uint64_t mixed(std::uint64_t bits) {
  bits = (bits ^ bits >> 30U) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ bits >> 27U) * 0x94d049bb133111ebULL;
  return bits ^ bits >> 31U;
}

core::DedupEntry entry_of(std::uint64_t i) {
  const std::uint64_t hi = mixed((i + 1) * 0x9e3779b97f4a7c15ULL);
  return {hi, mixed(hi + 1) << core::DedupEntry::kCheckBits | 0x11U};
}

void fill(DedupStore& store, std::uint64_t entries, std::uint64_t portions) {
  const std::int64_t cpu = cpu_ns();
  const std::int64_t wall = wall_ms();
  for (std::uint64_t portion = 0; portion < portions; ++portion) {
    const std::uint64_t end = entries * (portion + 1) / portions;
    for (std::uint64_t i = entries * portion / portions; i < end; ++i) store.insert(entry_of(i));
    store.spill();
  }
  store.settle();
  fmt::print("fill entries={} portions={} cpu_ns_per_entry={} wall_ms={}", entries, portions,
             (cpu_ns() - cpu) / static_cast<std::int64_t>(entries), wall_ms() - wall);
}

void probe(DedupStore& store, std::uint64_t entries, std::uint64_t probes) {
  std::uint64_t remembered = 0;
  std::uint64_t expected = 0;
  const std::int64_t cpu = cpu_ns();
  const std::int64_t wall = wall_ms();
  for (std::uint64_t i = 0; i < probes; ++i) {
    const bool hit = mixed(i) % 20 == 0;
    const std::uint64_t identity = hit ? mixed(i + 7) % entries : entries + i;
    expected += hit ? 1U : 0U;
    remembered += store.remembers(entry_of(identity)) ? 1U : 0U;
  }
  fmt::print("probe entries={} probes={} cpu_ns_per_probe={} wall_ns_per_probe={} rss_anon_kib={}",
             entries, probes, (cpu_ns() - cpu) / static_cast<std::int64_t>(probes),
             (wall_ms() - wall) * 1'000'000 / static_cast<std::int64_t>(probes), rss_anon_kib());
  if (remembered != expected) fmt::print(" WRONG: {} remembered of {}", remembered, expected);
}

int run(const std::string& verb, const std::string& kind, const std::filesystem::path& folder,
        std::uint64_t entries, std::uint64_t count) {
  const std::int64_t wall = wall_ms();
  const auto store = open_dedup_store(kind, folder);
  if (!store) {
    fmt::print("{}: not built in: install librocksdb-dev\n", kind);
    return 2;
  }
  const std::int64_t opened_ms = wall_ms() - wall;
  fmt::print("{} ", kind);
  if (verb == "fill") {
    fill(*store, entries, count);
  } else {
    probe(*store, entries, count);
  }
  fmt::print(" open_ms={} disk_bytes_per_entry_x100={}\n", opened_ms,
             bytes_below(folder) * 100 / entries);
  return 0;
}

}  // namespace
}  // namespace tally::bench

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print("usage: dedup_runs fill|probe tally|rocksdb FOLDER ENTRIES PORTIONS|PROBES\n");
    return 2;
  }
  return tally::bench::run(argv[1], argv[2], argv[3], std::stoull(argv[4]), std::stoull(argv[5]));
}
