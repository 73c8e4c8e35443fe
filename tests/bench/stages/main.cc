// The micro-benchmarks of the aggregator's stages, run by tests/bench/stages.sh.
#include "core/check.h"
#include "runtime/config/settings.h"
#include "tests/bench/stages/allocations.h"
#include "tests/bench/stages/report.h"
#include "tests/bench/stages/stages.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace tally;
using runtime::config::Kind;
using runtime::config::Option;

constexpr const char* kName = "stages";

constexpr std::array kOptions = {
    Option{.name = "filter",
           .default_value = ".",
           .sentence = "Only the stages that this regular expression finds, and the baselines."},
    Option{"repetitions", Kind::kInteger, "5", "Of each benchmark; the median counts.", 1, 100},
    Option{"time-ms", Kind::kInteger, "300", "Of one repetition, about.", 1, 60'000},
    Option{"cold-entries", Kind::kInteger, "20000000", "Of the table that fits no cache.", 100'000,
           200'000'000},
    Option{.name = "dir", .sentence = "A folder for local runs; emptied.", .required = true},
    Option{.name = "json", .sentence = "Where the figures go.", .required = true},
};
constexpr std::array kCommands = {
    runtime::config::Command{"",
                             "Measures the aggregator's stages one by one.",
                             kOptions,
                             {},
                             "stages --dir /tmp/stages --json stages.json --filter decode"},
};

// A counter that counts nothing would hold every bar.
void check_counter() {
  const bench::Allocated before = bench::allocated();
  const std::vector<char> made(1'000);
  const bench::Allocated taken = bench::allocated() - before;
  TALLY_CHECK(made.size() == 1'000 && taken.count == 1 && taken.bytes == 1'000,
              "the counter saw {} allocations of {} bytes", taken.count, taken.bytes);

  const bench::Allocated own = bench::allocated();
  const bench::Allocated all = bench::allocated_by_all();
  std::thread([] { benchmark::DoNotOptimize(std::vector<char>(1'000'000)); }).join();
  const std::int64_t elsewhere =
      (bench::allocated_by_all() - all).bytes - (bench::allocated() - own).bytes;
  TALLY_CHECK(elsewhere >= 1'000'000, "the counter of all threads saw {} bytes of another",
              elsewhere);
}

void run_benchmarks(const runtime::config::Settings& settings, bench::Report& report) {
  bench::add_baselines();
  bench::add_decode();
  bench::add_identity();
  bench::add_memory({.cold_entries = static_cast<std::uint64_t>(settings.integer("cold-entries")),
                     .folder = settings.text("dir")});
  bench::add_fold();
  bench::add_plan();
  bench::add_commit();
  // Interleaved, so that a stage and its baseline meet the same moods of the machine.
  std::vector<std::string> arguments = {
      kName, "--benchmark_enable_random_interleaving=true",
      fmt::format("--benchmark_repetitions={}", settings.integer("repetitions")),
      fmt::format("--benchmark_min_time={:.3f}",
                  static_cast<double>(settings.integer("time-ms")) / 1'000)};
  std::vector<char*> pointers;
  pointers.reserve(arguments.size());
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  benchmark::RunSpecifiedBenchmarks(&report, "^baseline/|" + settings.text("filter"));
  benchmark::ClearRegisteredBenchmarks();  // the databases are dropped while there is a client
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = runtime::config::parse(kName, "Micro-benchmarks of the aggregator's stages.",
                                             kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    check_counter();
    bench::Report report;
    run_benchmarks(*parsed.settings, report);
    const auto figures = report.figures();
    if (!bench::has_stages(figures) && report.failures().empty()) {
      throw std::runtime_error("--filter " + parsed.settings->text("filter") +
                               " finds no stage; without it all are measured");
    }
    const bench::Bar bar = bench::bar_of(figures);
    fmt::print("\n{}", bench::table_of(figures));
    bench::write_json(parsed.settings->text("json"), figures, bar);
    const bench::Verdict verdict = bench::verdict_of(report.failures(), bar);
    fmt::print("\n{}\n", verdict.sentence);
    return verdict.exit_code;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}: {}\n", kName, failure.what());
    return 1;
  }
}
