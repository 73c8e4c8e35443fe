// tally-simulation: runs seeded schedules of the real aggregator over simulated surroundings.
#include "runtime/log/log.h"
#include "runtime/metrics/metrics.h"
#include "tests/simulation/world.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

using tally::simulation::Coverage;
using tally::simulation::Event;
using tally::simulation::Verdict;
using tally::simulation::Workshop;
using tally::simulation::World;

struct Options {
  std::uint64_t seeds = 100;
  std::uint64_t from = 1;
  std::uint64_t repeated = 0;
  std::uint64_t only = 0;
  std::string figures;  // a file, or empty
  bool trace = false;
  bool require_coverage = false;
  bool quiet = false;
  bool stop_at_first = false;
};

std::uint64_t current_seed = 0;  // for the signal handler

void append_number(char*& at, std::uint64_t value) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) *at++ = digits[--count];
}

// What the schedule under way wrote to stderr, kept apart: schedules fail on purpose, and it is of
// use only when one breaks a promise.
int said = -1;

void begin_saying() {
  if (said >= 0 && (::ftruncate(said, 0) != 0 || ::lseek(said, 0, SEEK_SET) != 0)) std::_Exit(3);
}

void show_said() {
  char part[4096];
  const off_t size = said < 0 ? 0 : ::lseek(said, 0, SEEK_END);
  off_t at = size > 20'000 ? size - 20'000 : 0;
  while (at < size) {
    const ssize_t got = ::pread(said, part, sizeof(part), at);
    if (got <= 0 || ::write(STDOUT_FILENO, part, static_cast<std::size_t>(got)) < 0) return;
    at += got;
  }
}

// A CHECK ended the process: say which schedule it was, with what a signal handler may use.
void name_the_seed(int) {
  char line[96] = "seed ";
  char* at = line + 5;
  append_number(at, current_seed);
  for (const char* rest = ": aborted, see above; replay: ./dev sim --trace --seed "; *rest != 0;)
    *at++ = *rest++;
  append_number(at, current_seed);
  *at++ = '\n';
  show_said();
  if (::write(STDOUT_FILENO, line, static_cast<std::size_t>(at - line)) < 0) std::_Exit(3);
  std::_Exit(1);
}

Verdict run_one(std::uint64_t seed, const Workshop& workshop, bool trace) {
  current_seed = seed;
  begin_saying();
  std::error_code ignored;
  std::filesystem::remove_all(workshop.scratch, ignored);
  World world(seed, workshop, trace);
  return world.run();
}

int run_all(const Options& options, const Workshop& workshop) {
  const auto started = std::chrono::steady_clock::now();
  Coverage coverage;
  std::uint64_t failed = 0;
  std::uint64_t digest = 0;
  for (std::uint64_t seed = options.from; seed < options.from + options.seeds; ++seed) {
    const Verdict verdict = run_one(seed, workshop, options.trace);
    coverage.add(verdict.coverage);
    digest = digest * 31 + verdict.digest;
    if (seed - options.from < options.repeated &&
        run_one(seed, workshop, false).digest != verdict.digest) {
      fmt::print("seed {}: two runs of it differ; replay: ./dev sim --trace --seed {}\n", seed,
                 seed);
      return 1;
    }
    if (verdict.broken.empty()) continue;
    ++failed;
    fmt::print("seed {}: {}; replay: ./dev sim --trace --seed {}\n", seed, verdict.broken, seed);
    std::fflush(stdout);
    if (failed >= 10 || options.stop_at_first) break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  if (!options.quiet) fmt::print("{}", coverage.table());
  const std::string missing = options.require_coverage ? coverage.missing() : std::string();
  if (!missing.empty()) fmt::print("never happened: {}\n", missing);
  fmt::print("{} schedules from seed {}, {} failed, {:.1f} s, {:.2f} ms each, digest {:016x}\n",
             options.seeds, options.from, failed, took.count(),
             1000.0 * took.count() / static_cast<double>(options.seeds), digest);
  if (!options.figures.empty()) {
    std::ofstream(options.figures) << fmt::format(
        "{{\"schedules\":{},\"from\":{},\"failed\":{},\"seconds\":{:.1f},"
        "\"commits\":{},\"crashes\":{},\"in_doubt\":{},\"fenced\":{}}}\n",
        options.seeds, options.from, failed, took.count(), coverage.of(Event::kCommitted),
        coverage.of(Event::kCrash),
        coverage.of(Event::kInDoubtCommitted) + coverage.of(Event::kInDoubtLost) +
            coverage.of(Event::kGhostStarted),
        coverage.of(Event::kFenced));
  }
  return failed == 0 && missing.empty() ? 0 : 1;
}

// Where the schedules' runs are written: in memory if the machine can, as the faults of a disk are
// played by the schedule and a real one's flushes are a third of the time. $TMPDIR goes first.
std::filesystem::path simulated_disk() {
  constexpr const char* kMemory = "/dev/shm";
  if (std::getenv("TMPDIR") == nullptr && ::access(kMemory, W_OK | X_OK) == 0) return kMemory;
  return std::filesystem::temp_directory_path();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Seeded schedules of the real aggregator over a simulated log, store and clock.");
  app.add_option("--seeds", options.seeds, "how many schedules");
  app.add_option("--from", options.from, "the first seed");
  app.add_option("--seed", options.only, "this schedule alone");
  app.add_option("--repeated", options.repeated, "so many schedules are run twice and compared");
  app.add_option("--figures", options.figures, "write count, time and coverage to this file");
  app.add_flag("--trace", options.trace, "tell the story of each schedule");
  app.add_flag("--require-coverage", options.require_coverage, "each counter must have moved");
  app.add_flag("--quiet", options.quiet, "no table of counters");
  app.add_flag("--stop-at-first", options.stop_at_first, "end at the first failure");
  CLI11_PARSE(app, argc, argv);
  if (options.only != 0) {
    options.from = options.only;
    options.seeds = 1;
  }
  ::setenv("TALLY_LOG_LEVEL", options.trace ? "info" : "error", 0);
  ::setenv("TALLY_LOG", "text", 0);
  tally::runtime::log::init("simulation");
  if (options.trace) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);  // in one order with the story
    std::setvbuf(stdout, nullptr, _IONBF, 0);
  } else {
    said = ::memfd_create("said", MFD_CLOEXEC);
    if (said >= 0) ::dup2(said, STDERR_FILENO);
  }
  std::signal(SIGABRT, name_the_seed);
  std::signal(SIGSEGV, name_the_seed);

  tally::runtime::metrics::Registry registry;
  tally::aggregator::Probe probe(registry, "0");
  const auto scratch = simulated_disk() / fmt::format("tally-simulation-{}", ::getpid());
  const Workshop workshop{tally::simulation::make_catalogues(), tally::simulation::make_tenants(),
                          probe, scratch};
  const int code = run_all(options, workshop);
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  return code;
}
