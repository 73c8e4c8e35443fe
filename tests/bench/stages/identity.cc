#include "core/identity.h"

#include "tests/bench/stages/material.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"

#include <vector>

namespace tally::bench {
namespace {

struct Names {
  std::string_view tenant, source, type, id;
};

void entry(benchmark::State& state) {
  std::vector<Names> events;
  for (const auto& record : one_poll(common_binary().records())) {
    events.push_back({header_of(record, "ce_subject"), header_of(record, "ce_source"),
                      header_of(record, "ce_type"), header_of(record, "ce_id")});
  }
  const core::IdentityHasher& hasher = common_hasher();
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    std::uint64_t content = 0;
    for (const Names& event : events) {
      benchmark::DoNotOptimize(
          hasher.entry(event.tenant, event.source, event.type, event.id, ++content, 1));
    }
    stage.handled(events.size());
  }
}

}  // namespace

void add_identity() { benchmark::RegisterBenchmark("identity/entry", entry); }

}  // namespace tally::bench
