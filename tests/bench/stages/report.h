// The figures of all runs: a table on stdout, the same as JSON, and the bar.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tally::bench {

struct Figure {
  std::string name;
  std::string baseline;  // that it is compared with
  double ns_per_event = 0;
  double allocations_per_event = 0;
  double bytes_per_event = 0;
  double ratio = 0;  // to the baseline of this same run
};

inline constexpr double kMostAllocationsPerEvent = 0.1;

// Collects runs, and makes a figure of each benchmark: the median time of its repetitions, and the
// most that any of them allocated.
class Report final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;

  // After the last run. Ordered as the benchmarks were added.
  [[nodiscard]] std::vector<Figure> figures() const;
  [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
  struct Samples {
    std::int64_t place = 0;  // among the benchmarks as they were added
    std::string baseline;
    std::vector<double> ns_per_event;
    double allocations_per_event = 0;
    double bytes_per_event = 0;
  };
  std::map<std::string, Samples> samples_;
  std::vector<std::string> failures_;
};

// Besides baselines.
[[nodiscard]] bool has_stages(const std::vector<Figure>& figures);

// A table of Markdown, aligned, so that it is read on a terminal and pasted into docs/performance.
[[nodiscard]] std::string table_of(const std::vector<Figure>& figures);

struct Bar {
  bool measured = false;
  double worst = 0;  // allocations per event
  std::string of;
  [[nodiscard]] bool held() const { return worst <= kMostAllocationsPerEvent; }
};
// Of the figures whose names start with kSteadyPath.
[[nodiscard]] Bar bar_of(const std::vector<Figure>& figures);

struct Verdict {
  int exit_code = 0;
  std::string sentence;
};
// `failures`: of benchmarks that could not run; any of them is an exit code of 1.
[[nodiscard]] Verdict verdict_of(const std::vector<std::string>& failures, const Bar& bar);

// Throws std::runtime_error when the file cannot be written.
void write_json(const std::filesystem::path& path, const std::vector<Figure>& figures,
                const Bar& bar);

}  // namespace tally::bench
