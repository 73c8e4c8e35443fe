// tally-exporter-simulation: seeded schedules of the real plan, sender and cycle of the exporter
// over a simulated store, Stripe and clock.
#include "tests/simulation/exporter/export_world.h"
#include "tests/simulation/runner.h"

#include <fmt/format.h>

#include <string>

namespace {

using tally::simulation::exporting::Coverage;
using tally::simulation::exporting::Event;
using tally::simulation::exporting::ExportWorld;

class ExporterSchedules final : public tally::simulation::Schedules {
 public:
  tally::simulation::SeedOutcome run(std::uint64_t seed, bool trace) override {
    ExportWorld world(seed, trace);
    const std::string broken = world.run();
    coverage_.add(world.coverage());
    return {broken, world.digest()};
  }
  [[nodiscard]] std::string table() const override { return coverage_.table(); }
  [[nodiscard]] std::string missing() const override { return coverage_.missing(); }
  [[nodiscard]] std::string figures() const override {
    return fmt::format("\"rows\":{},\"kills\":{},\"unknown_after_a_day\":{}",
                       coverage_.of(Event::kBorn), coverage_.of(Event::kKilled),
                       coverage_.of(Event::kUncertain));
  }

 private:
  Coverage coverage_;
};

}  // namespace

int main(int argc, char** argv) {
  ExporterSchedules schedules;
  return tally::simulation::run_schedules(
      schedules, "Seeded schedules of the real exporter over a simulated store, Stripe and clock.",
      "./dev sim --exporter --trace --seed ", argc, argv);
}
