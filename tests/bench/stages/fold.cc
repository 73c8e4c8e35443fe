#include "aggregator/fold.h"

#include "core/check.h"
#include "tests/bench/stages/folded.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"

#include <map>
#include <optional>
#include <string_view>
#include <tuple>

namespace tally::bench {

using aggregator::BatchPlan;
using aggregator::Decoder;
using aggregator::Fold;
using aggregator::LedgerDelta;
using aggregator::PartitionState;

std::unique_ptr<PartitionState> new_partition() {
  aggregator::dedup::MemorySettings settings;
  settings.horizon_days = aggregator::remembered_days(kRules);
  return std::make_unique<PartitionState>(core::PartitionId(0), settings);
}

const Material& material_of(const PlanShape& shape) {
  static std::map<std::string_view, Material> made;
  return made.try_emplace(shape.name, shape.workload).first->second;
}

namespace {

enum class Expected { kCounted, kDuplicates };

void check_ledger(const BatchPlan& plan, Records records, Expected expected) {
  TALLY_CHECK(plan.ledger.size() == 1);
  const LedgerDelta& line = plan.ledger.begin()->second;
  const auto all = static_cast<std::int64_t>(records.size());
  TALLY_CHECK((expected == Expected::kCounted ? line.counted : line.duplicate) == all,
              "{} records: {} counted, {} duplicates", all, line.counted, line.duplicate);
}

// Each round is one commit's plan from its birth on: what is allocated once a commit is in it, and
// what is allocated once a session is not. Distinct events meet a memory that starts small.
void fold(benchmark::State& state, Records records, const Material& material, Expected expected) {
  Fold fold(material.meters(), common_hasher(), kRules, material.tenants());
  std::unique_ptr<PartitionState> partition;
  std::optional<BatchPlan> plan;
  const auto start_over = [&] {
    if (plan) check_ledger(*plan, records, expected);
    if (!partition || expected == Expected::kCounted) partition = new_partition();
    partition->position = core::Offset(0);
    plan.emplace();
  };
  start_over();
  fold_into(*plan, records, fold, *partition);  // the first commit of a session
  check_ledger(*plan, records, Expected::kCounted);
  plan.reset();
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    stage.aside(start_over);
    fold_into(*plan, records, fold, *partition);
    stage.handled(records.size());
  }
  check_ledger(*plan, records, expected);
}

void fold_common(benchmark::State& state, Records records, Expected expected) {
  fold(state, records, common_material(), expected);
}

}  // namespace

void add_fold() {
  benchmark::RegisterBenchmark("fold/distinct", [](auto& state) {
    fold_common(state, common_material().structured(), Expected::kCounted);
  });
  benchmark::RegisterBenchmark("fold/distinct_binary", [](auto& state) {
    fold_common(state, common_binary().records(), Expected::kCounted);
  });
  benchmark::RegisterBenchmark("fold/duplicates", [](auto& state) {
    fold_common(state, common_material().structured(), Expected::kDuplicates);
  });
  // Not in the steady path: most events are the first of their window.
  benchmark::RegisterBenchmark("new_windows/fold", [](auto& state) {
    const Material& material = material_of(kManyRows);
    fold(state, material.structured(), material, Expected::kCounted);
  });
}

}  // namespace tally::bench
