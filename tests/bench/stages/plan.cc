// What a commit does to a plan before the first byte goes to Postgres.
#include "aggregator/batch_plan.h"
#include "aggregator/join_plans.h"
#include "aggregator/plan_rows.h"
#include "aggregator/span_totals.h"
#include "aggregator/window_columns.h"
#include "core/check.h"
#include "tests/bench/stages/folded.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"

#include <array>
#include <map>
#include <memory>
#include <string>

namespace tally::bench {
namespace {

using aggregator::BatchPlan;
using aggregator::PlanRows;
using runtime::postgres::ArrayText;

void fold_shape(const PlanShape& shape, BatchPlan& plan) {
  const Material& material = material_of(shape);
  aggregator::Fold fold(material.meters(), common_hasher(), kRules, material.tenants());
  const auto partition = new_partition();
  plan.meters = material.meters();
  fold_into(plan, material.structured(), fold, *partition);
}

const BatchPlan& plan_of(const PlanShape& shape) {
  static std::map<std::string_view, BatchPlan> made;
  const auto [found, fresh] = made.try_emplace(shape.name);
  if (fresh) fold_shape(shape, found->second);
  return found->second;
}

void rows(benchmark::State& state, const PlanShape& shape) {
  const BatchPlan& plan = plan_of(shape);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(PlanRows(plan.totals));
    stage.handled(static_cast<std::size_t>(plan.records));
  }
}

// With a plan of the same windows, as another worker's are; that one's partition is left out.
void join(benchmark::State& state, const PlanShape& shape) {
  const BatchPlan& plan = plan_of(shape);
  BatchPlan other;
  fold_shape(shape, other);
  other.partitions.clear();
  other.ledger.clear();
  other.segments.clear();
  const std::array<const BatchPlan*, 2> plans = {&plan, &other};
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    const BatchPlan all = aggregator::joined(plans);
    TALLY_CHECK(all.totals.usage.size() == plan.totals.usage.size());
    stage.handled(static_cast<std::size_t>(all.records));
  }
}

void span_totals(benchmark::State& state, const PlanShape& shape) {
  const BatchPlan& plan = plan_of(shape);
  const PlanRows rows(plan.totals);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(aggregator::span_totals(rows));
    stage.handled(static_cast<std::size_t>(plan.records));
  }
}

void conservation(benchmark::State& state, const PlanShape& shape) {
  const BatchPlan& plan = plan_of(shape);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    aggregator::check_conservation(plan);
    stage.handled(static_cast<std::size_t>(plan.records));
  }
}

template <class Columns, class Key>
void add_row(Columns& columns, const aggregator::MeterSet& meters, const Key& key,
             const core::UsageDelta& delta, ArrayText& quantity, ArrayText& events) {
  columns.add(meters, key);
  quantity.add(delta.quantity.to_string());
  events.add(delta.events);
}

// The text of tally.usage_window and tally.usage_total, as commit_windows.cc builds it.
std::size_t write_columns(const BatchPlan& plan, const PlanRows& in_order,
                          const aggregator::SpanTotals& spans) {
  std::size_t rows = 0;
  ArrayText quantity, events;
  aggregator::WindowColumns windows;
  for (const auto* row : in_order.usage) {
    add_row(windows, *plan.meters, row->first, row->second, quantity, events);
    ++rows;
  }
  benchmark::DoNotOptimize(windows.take());
  aggregator::SpanColumns totals;
  for (const auto& [key, delta] : spans.usage) {
    add_row(totals, *plan.meters, key, delta, quantity, events);
    ++rows;
  }
  benchmark::DoNotOptimize(totals.take());
  for (ArrayText* column : {&quantity, &events}) benchmark::DoNotOptimize(column->take());
  return rows;
}

void columns(benchmark::State& state, const PlanShape& shape) {
  const BatchPlan& plan = plan_of(shape);
  const PlanRows in_order(plan.totals);
  const aggregator::SpanTotals spans = aggregator::span_totals(in_order);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    const std::size_t rows = write_columns(plan, in_order, spans);
    TALLY_CHECK(rows == plan.totals.usage.size() + spans.usage.size());
    stage.handled(static_cast<std::size_t>(plan.records));
  }
}

}  // namespace

void add_plan() {
  for (const PlanShape& shape : {kFewRows, kManyRows}) {
    const auto add = [&shape](const std::string& name, const auto& run) {
      benchmark::RegisterBenchmark(("plan/" + name + "/" + shape.name).c_str(),
                                   [run, shape](auto& state) { run(state, shape); });
    };
    add("joined", join);
    add("rows", rows);
    add("span_totals", span_totals);
    add("conservation", conservation);
    add("columns", columns);
  }
}

}  // namespace tally::bench
