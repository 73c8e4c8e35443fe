#include "runtime/config/settings.h"
#include "tests/support/generator/bench.h"
#include "tests/support/generator/demo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>

namespace {

using tally::generator::BenchOptions;
using tally::generator::BenchSums;
using tally::generator::BenchTarget;
using tally::generator::Class;
using tally::generator::DemoOptions;
using tally::generator::Expectation;
using tally::runtime::config::Command;
using tally::runtime::config::Kind;
using tally::runtime::config::Option;
using tally::runtime::config::Settings;

constexpr std::int64_t kMaxRecords = 2'000'000'000;

constexpr std::array kDemoOptions = {
    Option{"events", Kind::kInteger, "300000", "Unique events that count; the dirt comes besides.",
           1, 50'000'000},
    Option{"seed", Kind::kInteger, "1", "Another stream of the same shape.", 0, kMaxRecords},
    Option{.name = "start",
           .sentence = "Where the 24 hours begin, as 2026-11-20T08:00:00Z.",
           .required = true},
    Option{"tenants", Kind::kInteger, "1000", "Tenants in the catalogue.", 1, 9'999},
    Option{"catalogue", Kind::kText, "schemas/catalogue/example.json",
           "The example whose meters and plans are taken over."},
    Option{.name = "out", .sentence = "The folder to write into.", .required = true},
};
constexpr std::array kBenchOptions = {
    Option{"records", Kind::kInteger, "12000000", "Records to write.", 1, kMaxRecords},
    Option{"seed", Kind::kInteger, "1", "Another stream of the same shape.", 0, kMaxRecords},
    Option{.name = "brokers", .sentence = "Kafka, as host:port[,host:port].", .required = true},
    Option{.name = "topic", .sentence = "The topic to write to; it must exist.", .required = true},
    Option{"tenants", Kind::kInteger, "1000", "Tenants in the stream.", 1, 99'999},
    Option{"dimensions", Kind::kInteger, "0", "group_by dimensions of each meter.", 0, 8},
    Option{"dimension-values", Kind::kInteger, "10", "Values of each dimension.", 1, 1'000},
    Option{"hours", Kind::kInteger, "24", "Hours that the events' times span.", 1, 24},
    Option{"rate", Kind::kInteger, "0",
           "Records a second, on a timetable that waits for nobody; 0: as fast as the broker takes "
           "them.",
           0, 10'000'000},
    Option{"sample", Kind::kInteger, "20",
           "With --rate: one record of so many is noted in published.csv, with the moments when it "
           "was due and acked.",
           1, 1'000'000},
    Option{"threads", Kind::kInteger, "2", "Threads that make records.", 1, 64},
    Option{"start", Kind::kText, "",
           "Where the hours begin, as 2026-11-20T08:00:00Z; 25 hours ago unless given."},
    Option{"out", Kind::kText, ".", "Where bench-catalogue.json and expected.json are written."},
};
constexpr std::array kCommands = {
    Command{"demo",
            "Writes the demo's files and what they must come to.",
            kDemoOptions,
            {},
            "tally-generator demo --start 2026-11-20T08:00:00Z --out /tmp/demo"},
    Command{"bench",
            "Writes the benchmark's records to Kafka.",
            kBenchOptions,
            {},
            "tally-generator bench --brokers localhost:9092 --topic bench.events --out /tmp/bench"},
};

int wrong_start(const std::string& text) {
  fmt::print(stderr,
             "tally-generator: --start is \"{}\": give a moment in UTC, as 2026-11-20T08:00:00Z\n",
             text);
  return 2;
}

int run_demo(const Settings& settings) {
  const auto start = tally::generator::parse_utc(settings.text("start"));
  if (!start) return wrong_start(settings.text("start"));
  const Expectation made = tally::generator::write_demo(DemoOptions{
      .events = settings.integer("events"),
      .seed = static_cast<std::uint64_t>(settings.integer("seed")),
      .start_micros = *start,
      .tenants = static_cast<int>(settings.integer("tenants")),
      .catalogue = settings.text("catalogue"),
      .out = settings.text("out"),
  });
  fmt::print("{} records: {} counted", made.records(), made.count(Class::kCounted));
  for (std::size_t i = 1; i < tally::generator::kClassNames.size(); ++i) {
    fmt::print(", {} {}", made.count(static_cast<Class>(i)), tally::generator::kClassNames[i]);
  }
  fmt::print("\n");
  return 0;
}

int run_bench(const Settings& settings) {
  using std::chrono::duration_cast;
  const auto now = std::chrono::system_clock::now() - std::chrono::hours(25);
  std::int64_t start =
      duration_cast<std::chrono::hours>(now.time_since_epoch()).count() * 3'600'000'000;
  if (settings.has("start") && !settings.text("start").empty()) {
    const auto given = tally::generator::parse_utc(settings.text("start"));
    if (!given) return wrong_start(settings.text("start"));
    start = *given;
  }
  const auto began = std::chrono::steady_clock::now();
  const BenchSums sums = tally::generator::write_bench(
      BenchOptions{.records = settings.integer("records"),
                   .seed = static_cast<std::uint64_t>(settings.integer("seed")),
                   .tenants = static_cast<int>(settings.integer("tenants")),
                   .dimensions = static_cast<int>(settings.integer("dimensions")),
                   .dimension_values = static_cast<int>(settings.integer("dimension-values")),
                   .hours = static_cast<int>(settings.integer("hours")),
                   .start_micros = start},
      BenchTarget{.brokers = settings.text("brokers"),
                  .topic = settings.text("topic"),
                  .threads = static_cast<int>(settings.integer("threads")),
                  .rate = settings.integer("rate"),
                  .sample = settings.integer("sample"),
                  .out = settings.text("out")});
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
  const std::int64_t records = sums.counted + sums.duplicates;
  fmt::print("{} records ({} unique, {} duplicates), {} bytes on average, {:.0f}/s\n", records,
             sums.counted, sums.duplicates, sums.bytes / std::max<std::int64_t>(records, 1),
             static_cast<double>(records) / spent.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = tally::runtime::config::parse(
      "tally-generator", "Makes deterministic usage events and says what they must come to.",
      kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    return parsed.settings->command() == "demo" ? run_demo(*parsed.settings)
                                                : run_bench(*parsed.settings);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "tally-generator: {}\n", problem.what());
    return 1;
  }
}
