// One run of the producer bench, in a process of its own:
//
//   producer_load paced|unpaced|bare BROKERS TOPIC THREADS RECORDS [RATE]
#include "tests/bench/producer/load.h"

#include <fmt/core.h>

#include <cstdlib>
#include <string_view>

int main(int argc, char** argv) {
  using namespace tally::bench;
  const auto number = [&](int at) {
    return at < argc ? std::strtoull(argv[at], nullptr, 10) : 0ULL;
  };
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const Load load{.brokers = argc > 2 ? argv[2] : "",
                  .topic = argc > 3 ? argv[3] : "",
                  .threads = static_cast<int>(number(4)),
                  .records = number(5),
                  .rate = number(6)};
  if (load.threads > 0 && load.records > 0) {
    if (mode == "paced" && load.rate > 0) return run_paced(load);
    if (mode == "unpaced") return run_unpaced(load);
    if (mode == "bare") return run_bare(load);
  }
  fmt::print(stderr, "producer_load: paced|unpaced|bare BROKERS TOPIC THREADS RECORDS [RATE]\n");
  return 2;
}
