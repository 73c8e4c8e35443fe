#include "tests/simulation/runner.h"

#include "runtime/log/log.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>

namespace tally::simulation {
namespace {

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

std::uint64_t current_seed = 0;   // for the signal handler
const char* replay_command = "";  // for the signal handler, too

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
  char line[160] = "seed ";
  char* at = line + 5;
  append_number(at, current_seed);
  for (const char* part : {": aborted, see above; replay: ", replay_command})
    while (*part != 0) *at++ = *part++;
  append_number(at, current_seed);
  *at++ = '\n';
  show_said();
  if (::write(STDOUT_FILENO, line, static_cast<std::size_t>(at - line)) < 0) std::_Exit(3);
  std::_Exit(1);
}

SeedOutcome run_one(Schedules& schedules, std::uint64_t seed, bool trace) {
  current_seed = seed;
  begin_saying();
  return schedules.run(seed, trace);
}

int run_all(Schedules& schedules, const Options& options) {
  const auto started = std::chrono::steady_clock::now();
  std::uint64_t failed = 0;
  std::uint64_t digest = 0;
  for (std::uint64_t seed = options.from; seed < options.from + options.seeds; ++seed) {
    const SeedOutcome outcome = run_one(schedules, seed, options.trace);
    digest = digest * 31 + outcome.digest;
    if (seed - options.from < options.repeated &&
        run_one(schedules, seed, false).digest != outcome.digest) {
      fmt::print("seed {}: two runs of it differ; replay: {}{}\n", seed, replay_command, seed);
      return 1;
    }
    if (outcome.broken.empty()) continue;
    ++failed;
    fmt::print("seed {}: {}; replay: {}{}\n", seed, outcome.broken, replay_command, seed);
    std::fflush(stdout);
    if (failed >= 10 || options.stop_at_first) break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  if (!options.quiet) fmt::print("{}", schedules.table());
  const std::string missing = options.require_coverage ? schedules.missing() : std::string();
  if (!missing.empty()) fmt::print("never happened: {}\n", missing);
  fmt::print("{} schedules from seed {}, {} failed, {:.1f} s, {:.2f} ms each, digest {:016x}\n",
             options.seeds, options.from, failed, took.count(),
             1000.0 * took.count() / static_cast<double>(options.seeds), digest);
  if (!options.figures.empty()) {
    std::ofstream(options.figures)
        << fmt::format("{{\"schedules\":{},\"from\":{},\"failed\":{},\"seconds\":{:.1f},{}}}\n",
                       options.seeds, options.from, failed, took.count(), schedules.figures());
  }
  return failed == 0 && missing.empty() ? 0 : 1;
}

}  // namespace

int run_schedules(Schedules& schedules, const char* what, const char* replay, int argc,
                  char** argv) {
  Options options;
  replay_command = replay;
  CLI::App app(what);
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
  runtime::log::init("simulation");
  if (options.trace) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);  // in one order with the story
    std::setvbuf(stdout, nullptr, _IONBF, 0);
  } else {
    said = ::memfd_create("said", MFD_CLOEXEC);
    if (said >= 0) ::dup2(said, STDERR_FILENO);
  }
  std::signal(SIGABRT, name_the_seed);
  std::signal(SIGSEGV, name_the_seed);
  return run_all(schedules, options);
}

}  // namespace tally::simulation
