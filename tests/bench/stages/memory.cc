// The dedup memory: tables that fit the processor's caches, one that does not, and runs on disk.
#include "aggregator/dedup/memory.h"

#include "core/check.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"
#include "tests/support/generator/random.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tally::bench {
namespace {

namespace dedup = aggregator::dedup;
using core::DedupEntry;
using dedup::Memory;
using generator::scatter;

constexpr dedup::LogDay kDay = 20'000;
constexpr dedup::LogDay kHorizonDays = 36;
constexpr std::uint64_t kHotEntries = 16'384;  // a few hundred kilobytes
constexpr std::uint64_t kNeverInserted = std::uint64_t{1}
                                         << 40U;  // numbers from here are never inserted
constexpr std::size_t kProbes = 20'000;
constexpr unsigned kSpills = 4;
constexpr std::size_t kFoldsAhead = 2;  // as Fold::add reads ahead
constexpr int kColdInsertRounds = 10;   // so that the table stays about as large as it was

DedupEntry entry_of(std::uint64_t number) {
  const std::uint64_t hi = scatter(number);
  return {hi, scatter(hi ^ 0x5bd1e995U) << DedupEntry::kCheckBits | 0x11U};
}

struct Table {
  explicit Table(const std::filesystem::path& folder = {}) {
    memory = std::make_unique<Memory>(dedup::MemorySettings{
        .horizon_days = kHorizonDays, .cache_folder = folder, .deployment = 1, .generation = 1});
    memory->advance(kDay);
  }
  void insert_to(std::uint64_t end) {
    for (; entries < end; ++entries) memory->insert(entry_of(entries), kDay);
  }

  std::unique_ptr<Memory> memory;
  std::uint64_t entries = 0;  // numbers below it are remembered
};

Table& hot_table() {
  static Table table = [] {
    Table made;
    made.insert_to(kHotEntries);
    return made;
  }();
  return table;
}

Table& cold_table(std::uint64_t entries) {
  static Table table = [entries] {
    Table made;
    made.insert_to(entries);
    return made;
  }();
  return table;
}

// All of it on disk, in runs; the page cache holds them when the machine has memory to spare.
Table& spilled_table(const MemoryOptions& options) {
  static Table table = [&options] {
    std::filesystem::remove_all(options.folder);
    std::filesystem::create_directories(options.folder);
    Table made(options.folder);
    made.memory->adopt(kDay - kHorizonDays, [](const dedup::SegmentToken&) { return true; });
    for (unsigned spill = 1; spill <= kSpills; ++spill) {
      made.insert_to(options.cold_entries * spill / kSpills);
      made.memory->committed(kDay, dedup::SegmentToken::random());
      TALLY_CHECK(made.memory->spill({}), "{}: the disk refused", options.folder.string());
    }
    return made;
  }();
  return table;
}

enum class Wanted { kFound, kUnknown };

// `ahead`: so many probes before, what each looks at first is fetched; 0: it is not.
void probe(benchmark::State& state, const Table& table, Wanted wanted, std::size_t ahead = 0) {
  const dedup::Seen expected =
      wanted == Wanted::kFound ? dedup::Seen::kSameContent : dedup::Seen::kNever;
  generator::Random random(7);
  std::vector<DedupEntry> entries(kProbes);
  std::size_t right = 0;
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    stage.aside([&] {
      for (DedupEntry& entry : entries) {
        const std::uint64_t drawn = random.next();
        entry = entry_of(wanted == Wanted::kFound ? drawn % table.entries : drawn | kNeverInserted);
      }
    });
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (ahead != 0 && i + ahead < entries.size()) table.memory->prefetch(entries[i + ahead]);
      right += table.memory->probe(entries[i], kDay) == expected ? 1U : 0U;
    }
    stage.handled(entries.size());
  }
  TALLY_CHECK(right == static_cast<std::size_t>(state.iterations()) * kProbes);
}

// From nothing, so that growing is part of it.
void insert_hot(benchmark::State& state) {
  std::vector<DedupEntry> entries;
  entries.reserve(kHotEntries);
  for (std::uint64_t i = 0; i < kHotEntries; ++i) entries.push_back(entry_of(i));
  std::optional<Table> table;
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    stage.aside([&] { table.emplace(); });
    for (const DedupEntry& entry : entries) table->memory->insert(entry, kDay);
    stage.handled(entries.size());
  }
}

void insert_cold(benchmark::State& state, Table& table) {
  std::vector<DedupEntry> entries(kProbes);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    stage.aside([&] {
      for (DedupEntry& entry : entries) entry = entry_of(table.entries++);
    });
    for (const DedupEntry& entry : entries) table.memory->insert(entry, kDay);
    stage.handled(entries.size());
  }
}

}  // namespace

void add_memory(const MemoryOptions& options) {
  const auto add_probes = [](const char* found, const char* unknown, const auto& table) {
    benchmark::RegisterBenchmark(found,
                                 [table](auto& state) { probe(state, table(), Wanted::kFound); });
    benchmark::RegisterBenchmark(unknown,
                                 [table](auto& state) { probe(state, table(), Wanted::kUnknown); });
  };
  const auto cold = [entries = options.cold_entries]() -> Table& { return cold_table(entries); };
  add_probes("probe/hot/found", "probe/hot/unknown", hot_table);
  add_probes("probe/cold/found", "probe/cold/unknown", cold);
  const auto runs = [options]() -> Table& { return spilled_table(options); };
  add_probes("probe/runs/found", "probe/runs/unknown", runs);
  benchmark::RegisterBenchmark("probe/runs/unknown_ahead", [runs](auto& state) {
    probe(state, runs(), Wanted::kUnknown, kFoldsAhead);
  });
  benchmark::RegisterBenchmark("insert/hot", insert_hot);
  benchmark::RegisterBenchmark("insert/cold", [cold](auto& state) {
    insert_cold(state, cold());
  })->Iterations(kColdInsertRounds);
}

}  // namespace tally::bench
