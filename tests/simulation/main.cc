// tally-simulation: runs seeded schedules of the real aggregator over simulated surroundings.
#include "runtime/metrics/metrics.h"
#include "tests/simulation/runner.h"
#include "tests/simulation/world.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

using tally::simulation::Coverage;
using tally::simulation::Event;
using tally::simulation::Workshop;

class AggregatorSchedules final : public tally::simulation::Schedules {
 public:
  explicit AggregatorSchedules(const Workshop& workshop) : workshop_(workshop) {}
  tally::simulation::SeedOutcome run(std::uint64_t seed, bool trace) override {
    std::error_code ignored;
    std::filesystem::remove_all(workshop_.scratch, ignored);
    const auto verdict = tally::simulation::World(seed, workshop_, trace).run();
    coverage_.add(verdict.coverage);
    return {verdict.broken, verdict.digest};
  }
  [[nodiscard]] std::string table() const override { return coverage_.table(); }
  [[nodiscard]] std::string missing() const override { return coverage_.missing(); }
  [[nodiscard]] std::string figures() const override {
    return fmt::format("\"commits\":{},\"crashes\":{},\"in_doubt\":{},\"fenced\":{}",
                       coverage_.of(Event::kCommitted), coverage_.of(Event::kCrash),
                       coverage_.of(Event::kInDoubtCommitted) + coverage_.of(Event::kInDoubtLost) +
                           coverage_.of(Event::kGhostStarted),
                       coverage_.of(Event::kFenced));
  }

 private:
  const Workshop& workshop_;
  Coverage coverage_;
};

// Where the schedules' runs are written: in memory if the machine can, as the faults of a disk are
// played by the schedule and a real one's flushes are a third of the time. $TMPDIR goes first.
std::filesystem::path simulated_disk() {
  constexpr const char* kMemory = "/dev/shm";
  if (std::getenv("TMPDIR") == nullptr && ::access(kMemory, W_OK | X_OK) == 0) return kMemory;
  return std::filesystem::temp_directory_path();
}

}  // namespace

int main(int argc, char** argv) {
  tally::runtime::metrics::Registry registry;
  tally::aggregator::Probe probe(registry, "0");
  const auto scratch = simulated_disk() / fmt::format("tally-simulation-{}", ::getpid());
  const Workshop workshop{tally::simulation::make_catalogues(), tally::simulation::make_tenants(),
                          probe, scratch};
  AggregatorSchedules schedules(workshop);
  const int code = tally::simulation::run_schedules(
      schedules, "Seeded schedules of the real aggregator over a simulated log, store and clock.",
      "./dev sim --trace --seed ", argc, argv);
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  return code;
}
