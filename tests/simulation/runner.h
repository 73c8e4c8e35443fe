// The program around seeded schedules: options, the story of a run, the seed of a failure, figures.
#pragma once

#include <cstdint>
#include <string>

namespace tally::simulation {

struct SeedOutcome {
  std::string broken;  // empty: every promise held
  std::uint64_t digest = 0;
};

// What is run; gathers the coverage of all its runs.
class Schedules {
 public:
  Schedules() = default;
  Schedules(const Schedules&) = delete;
  Schedules& operator=(const Schedules&) = delete;
  virtual ~Schedules() = default;
  virtual SeedOutcome run(std::uint64_t seed, bool trace) = 0;
  [[nodiscard]] virtual std::string table() const = 0;
  [[nodiscard]] virtual std::string missing() const = 0;  // names of what never happened
  [[nodiscard]] virtual std::string figures() const = 0;  // members of a JSON object
};

// The program's exit code: 0 when every schedule kept every promise. `replay` is the command that
// runs one seed again, but for the seed itself. Once in a process.
[[nodiscard]] int run_schedules(Schedules& schedules, const char* what, const char* replay,
                                int argc, char** argv);

}  // namespace tally::simulation
