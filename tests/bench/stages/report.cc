#include "tests/bench/stages/report.h"

#include "core/check.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace tally::bench {
namespace {

double median(std::vector<double> values) {
  TALLY_CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

bool Report::ReportContext(const Context& /*context*/) { return true; }

void Report::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    const std::string& name = run.run_name.function_name;
    if (run.error_occurred) {
      failures_.push_back(name + ": " + run.error_message);
      continue;
    }
    Samples& samples = samples_[name];
    samples.place = run.family_index;
    samples.baseline = run.report_label;
    const double events = run.counters.at(kEvents);
    TALLY_CHECK(events > 0, "{} handled nothing", name);
    const double seconds =
        run.counters.contains(kWallTime) ? run.real_accumulated_time : run.cpu_accumulated_time;
    samples.ns_per_event.push_back(seconds * 1e9 / events);
    samples.allocations_per_event =
        std::max(samples.allocations_per_event, run.counters.at(kAllocations) / events);
    samples.bytes_per_event =
        std::max(samples.bytes_per_event, run.counters.at(kHeapBytes) / events);
  }
}

std::vector<Figure> Report::figures() const {
  std::vector<Figure> figures;
  figures.reserve(samples_.size());
  for (const auto& [name, samples] : samples_) {
    figures.push_back({name, samples.baseline, median(samples.ns_per_event),
                       samples.allocations_per_event, samples.bytes_per_event});
  }
  std::sort(figures.begin(), figures.end(), [this](const Figure& a, const Figure& b) {
    return samples_.at(a.name).place < samples_.at(b.name).place;
  });
  for (Figure& figure : figures) {
    const auto baseline = samples_.find("baseline/" + figure.baseline);
    TALLY_CHECK(baseline != samples_.end(), "{} ran without its baseline", figure.name);
    figure.ratio = figure.ns_per_event / median(baseline->second.ns_per_event);
  }
  return figures;
}

bool has_stages(const std::vector<Figure>& figures) {
  return std::any_of(figures.begin(), figures.end(),
                     [](const Figure& figure) { return !figure.name.starts_with("baseline/"); });
}

std::string table_of(const std::vector<Figure>& figures) {
  std::size_t width = 5;
  for (const Figure& figure : figures) width = std::max(width, figure.name.size());
  std::string out =
      fmt::format("| {:<{}} | {:>11} | {:>21} | {:>19} | times its baseline |\n", "stage", width,
                  "ns an event", "allocations an event", "heap bytes an event");
  fmt::format_to(std::back_inserter(out), "|{:-<{}}|{:->13}|{:->23}|{:->21}|{:-<20}|\n", "",
                 width + 2, ":", ":", ":", "");
  for (const Figure& figure : figures) {
    fmt::format_to(std::back_inserter(out),
                   "| {:<{}} | {:>11.1f} | {:>21.4f} | {:>19.1f} | {:<18} |\n", figure.name, width,
                   figure.ns_per_event, figure.allocations_per_event, figure.bytes_per_event,
                   fmt::format("{:.2f} {}", figure.ratio, figure.baseline));
  }
  return out;
}

Bar bar_of(const std::vector<Figure>& figures) {
  Bar bar;
  for (const Figure& figure : figures) {
    if (!figure.name.starts_with(kSteadyPath)) continue;
    if (bar.measured && figure.allocations_per_event <= bar.worst) continue;
    bar = {true, figure.allocations_per_event, figure.name};
  }
  return bar;
}

Verdict verdict_of(const std::vector<std::string>& failures, const Bar& bar) {
  if (!failures.empty()) return {1, fmt::format("stages: {}", fmt::join(failures, "; "))};
  if (!bar.measured) {
    return {0, "bench stages: done; the path from decode to fold, which has a bar, was not run."};
  }
  return {bar.held() ? 0 : 1,
          fmt::format("bench stages: from decode to fold in steady state at most {:.4f} heap "
                      "allocations per event ({}); the bar is {}: {}.",
                      bar.worst, bar.of, kMostAllocationsPerEvent, bar.held() ? "met" : "MISSED")};
}

void write_json(const std::filesystem::path& path, const std::vector<Figure>& figures,
                const Bar& bar) {
  auto stages = nlohmann::ordered_json::array();
  for (const Figure& figure : figures) {
    stages.push_back({{"name", figure.name},
                      {"ns_per_event", figure.ns_per_event},
                      {"allocations_per_event", figure.allocations_per_event},
                      {"bytes_per_event", figure.bytes_per_event},
                      {"baseline", figure.baseline},
                      {"ratio", figure.ratio}});
  }
  nlohmann::ordered_json json = {{"stages", std::move(stages)}};
  json["bar"] = {{"allocations_per_event", kMostAllocationsPerEvent},
                 {"measured", bar.measured},
                 {"worst", bar.worst},
                 {"of", bar.of},
                 {"held", bar.measured && bar.held()}};
  std::ofstream file(path, std::ios::trunc);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be written", path.string()));
}

}  // namespace tally::bench
