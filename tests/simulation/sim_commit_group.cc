#include "tests/simulation/sim_commit_group.h"

#include <limits>

namespace tally::simulation {

bool SimMonitor::wait(std::optional<std::chrono::milliseconds> at_most,
                      const std::function<bool()>& holds) {
  const std::int64_t until_us = at_most ? scheduler_.now_us() + at_most->count() * 1000
                                        : std::numeric_limits<std::int64_t>::max();
  scheduler_.wait_until(until_us, holds);
  return holds();
}

}  // namespace tally::simulation
