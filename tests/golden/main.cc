// tally-golden: runs a golden case in all its variants, or in one.
#include "runtime/log/log.h"
#include "runtime/metrics/metrics.h"
#include "tests/golden/compare.h"
#include "tests/golden/export.h"
#include "tests/golden/stage.h"

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace {

using tally::golden::BadCase;
using tally::golden::Books;
using tally::golden::GoldenCase;
using tally::golden::Stage;
using tally::golden::Variant;

struct Options {
  std::string program;
  std::string file;
  std::string variant;  // empty: all
  std::optional<std::int64_t> day_seconds;
  bool trace = false;
  bool list = false;
  bool as_json = false;
};

std::string command_under_way;  // for the signal handler

// A CHECK ended the process: say which run it was.
void name_the_run(int) {
  const char begin[] = "aborted, see above; again: ";
  if (::write(STDOUT_FILENO, begin, sizeof(begin) - 1) < 0 ||
      ::write(STDOUT_FILENO, command_under_way.data(), command_under_way.size()) < 0)
    std::_Exit(3);
  std::_Exit(1);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw BadCase(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Where a case allows several values (a tie), every variant must choose the one of the first.
void narrow(Books& expected, const Books& first) {
  for (auto& [key, acceptable] : expected.totals) {
    const auto found = first.totals.find(key);
    if (acceptable.size() > 1 && found != first.totals.end()) acceptable = found->second;
  }
}

class Runner {
 public:
  Runner(const Options& options, GoldenCase golden)
      : options_(options), golden_(std::move(golden)), probe_(registry_, "0") {}

  int run() {
    const auto& variants = tally::golden::all_variants();
    run_one(variants.front());
    for (const Variant& variant : variants) {
      if (&variant != &variants.front() &&
          (options_.variant.empty() || options_.variant == variant.name))
        run_one(variant);
    }
    fmt::print("{}: {} variants, {} failed\n", golden_.name, ran_, failed_);
    return failed_ == 0 ? 0 : 1;
  }

 private:
  void run_one(const Variant& variant) {
    command_under_way =
        fmt::format("{} {} --variant {}\n", options_.program, options_.file, variant.name);
    ++ran_;
    Stage stage(golden_, variant, probe_, options_.trace && options_.variant == variant.name);
    const std::string broken = stage.run();
    const Books got = tally::golden::books_in(stage.tables(), golden_);
    Books expected = tally::golden::books_of(golden_, variant);
    if (first_.totals.empty()) {
      first_ = got;
    } else {
      narrow(expected, first_);
    }
    const std::string table = tally::golden::differences(expected, got, golden_.day_seconds);
    if (broken.empty() && table.empty()) return;
    ++failed_;
    fmt::print("{}, {}: {}\n{}  again: {}", golden_.name, variant.name,
               broken.empty() ? "other books than expected" : broken, table, command_under_way);
  }

  const Options& options_;
  GoldenCase golden_;
  tally::runtime::metrics::Registry registry_;
  tally::aggregator::Probe probe_;
  Books first_;
  int ran_ = 0;
  int failed_ = 0;
};

int run(const Options& options) {
  if (options.list) {
    for (const Variant& variant : tally::golden::all_variants()) fmt::print("{}\n", variant.name);
    return 0;
  }
  GoldenCase golden =
      tally::golden::parse_case(options.file, read_file(options.file), options.day_seconds);
  const Variant* chosen = nullptr;
  for (const Variant& variant : tally::golden::all_variants()) {
    if (variant.name == options.variant) chosen = &variant;
  }
  if (chosen == nullptr && (options.as_json || !options.variant.empty()))
    throw BadCase("no variant \"" + options.variant + "\": --list names them");
  if (options.as_json) {
    fmt::print("{}\n", tally::golden::export_json(golden, *chosen));
    return 0;
  }
  if (!golden.admitted.empty())
    throw BadCase(options.file + ": the simulated store has no guard of dimensions");
  return Runner(options, std::move(golden)).run();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.program = argv[0];
  CLI::App app("Runs a golden case on the simulated log and store, in each of its variants.");
  app.add_option("case", options.file, "a file of tests/golden/cases");
  app.add_option("--variant", options.variant, "only this one (and the straight run before it)");
  app.add_option("--day", options.day_seconds,
                 "the case's first day instead of its own, seconds since 1970");
  app.add_flag("--trace", options.trace, "tell the story of the run; with --variant");
  app.add_flag("--list", options.list, "name the variants");
  app.add_flag("--json", options.as_json, "do not run it: print its records and books");
  CLI11_PARSE(app, argc, argv);
  // Variants fail on purpose in many ways: what the aggregator says is of use only in a story.
  ::setenv("TALLY_LOG_LEVEL", options.trace ? "info" : "error", 0);
  ::setenv("TALLY_LOG", "text", 0);
  tally::runtime::log::init("golden");
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  std::signal(SIGABRT, name_the_run);
  try {
    return run(options);
  } catch (const BadCase& bad) {
    fmt::print("{}\n", bad.what());
    return 2;
  }
}
