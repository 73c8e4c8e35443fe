#include "aggregator/join_plans.h"

#include "core/limits.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {
namespace {

// The `n`-th id whose home of two is the partition.
std::string id_of(std::int32_t partition, int n) {
  for (int i = 0;; ++i) {
    std::string id = fmt::format("r{}", i);
    if (static_cast<std::int32_t>(core::home_bits(id) % 2) == partition && n-- == 0) return id;
  }
}

std::vector<core::Meter> meters() {
  core::Meter most = latest_meter("most", "llm", "tokens");
  most.aggregation = core::Aggregation::kMax;
  core::Meter least = latest_meter("least", "llm", "tokens");
  least.aggregation = core::Aggregation::kMin;
  core::Meter users = latest_meter("users", "llm", "user");
  users.aggregation = core::Aggregation::kUniqueCount;
  return {grouped(sum_meter("tokens", "llm", "tokens"), {"model"}),
          latest_meter("seats", "llm", "tokens"), std::move(most), std::move(least),
          std::move(users)};
}

// Two partitions, each with a plan of its own worker, as long as nobody says otherwise.
struct Workers {
  static constexpr FoldRules kRules = {35 * 86'400, 300, 2};
  FoldBench zero{meters(), kRules};
  FoldBench one{meters(), kRules, 1, core::PartitionId(1)};

  static std::string event(std::int32_t partition, int n, std::string_view tenant, int tokens,
                           std::string_view model, std::string_view user) {
    return structured_event(
        id_of(partition, n), tenant, "llm", "-",
        fmt::format(R"({{"tokens":{},"model":"{}","user":"{}"}})", tokens, model, user));
  }
  [[nodiscard]] BatchPlan together() const {
    const BatchPlan* const plans[] = {&zero.plan, &one.plan};
    return joined(plans);
  }
};

template <class Value>
const Value& window_of(const WindowMap<Value>& windows, std::string_view tenant,
                       std::string_view dimensions) {
  for (const auto& [key, value] : windows) {
    if (key.tenant() == tenant && key.dimensions() == dimensions) return value;
  }
  ADD_FAILURE() << "no window of " << tenant << " " << dimensions;
  return windows.begin()->second;
}

TEST(JoinPlans, WhatBothAddToARowIsAddedUp) {
  Workers workers;
  // The texts come in other orders, so that their numbers differ.
  workers.zero.add(Workers::event(0, 0, "acme", 1, "a", "ann"), bench_time("08:00:00"));
  workers.zero.add(Workers::event(0, 1, "bell", 20, "b", "bob"), bench_time("08:00:01"));
  workers.one.add(Workers::event(1, 0, "bell", 300, "b", "bob"), bench_time("08:00:02"));
  workers.one.add(Workers::event(1, 1, "acme", 4'000, "a", "eve"), bench_time("08:00:03"));
  workers.one.add(Workers::event(1, 2, "corp", 50'000, "a", "bob"), bench_time("08:00:04"));
  EXPECT_EQ(workers.zero.plan.totals.rows(), 2U * 5U + 2U) << "2 of `users` have a value each";
  EXPECT_EQ(workers.one.plan.totals.rows(), 3U * 5U + 3U);
  const BatchPlan plan = workers.together();
  check_conservation(plan);
  EXPECT_EQ(plan.records, 5);
  EXPECT_EQ(plan.partitions.size(), 2U);
  EXPECT_EQ(plan.topic_partitions, 2);
  EXPECT_EQ(plan.totals.usage.size(), 3U);
  EXPECT_EQ(plan.totals.windows(), 5U * 3U);
  EXPECT_EQ(window_of(plan.totals.usage, "acme", R"({"model":"a"})").quantity.to_string(), "4001");
  EXPECT_EQ(window_of(plan.totals.usage, "bell", R"({"model":"b"})").quantity.to_string(), "320");
  EXPECT_EQ(window_of(plan.totals.usage, "corp", R"({"model":"a"})").events, 1);
  EXPECT_EQ(window_of(plan.totals.gauges, "bell", "{}").reading.to_string(), "300");
  EXPECT_EQ(window_of(plan.totals.maxima, "acme", "{}").reading.to_string(), "4000");
  EXPECT_EQ(window_of(plan.totals.minima, "acme", "{}").reading.to_string(), "1");
  EXPECT_EQ(window_of(plan.totals.uniques, "acme", "{}").values.size(), 2U);
  EXPECT_EQ(window_of(plan.totals.uniques, "bell", "{}").values.size(), 1U);
  EXPECT_EQ(window_of(plan.totals.uniques, "bell", "{}").events, 2);
}

// Each is executed for itself when the joined one fails.
TEST(JoinPlans, ThePlansStayAsTheyAre) {
  Workers workers;
  workers.zero.add(Workers::event(0, 0, "acme", 1, "a", "ann"), bench_time("08:00:00"));
  workers.one.add(Workers::event(1, 0, "acme", 20, "a", "ann"), bench_time("08:00:00"));
  const std::string zero = workers.zero.statement();
  const std::string one = workers.one.statement();
  (void)workers.together();
  EXPECT_EQ(workers.zero.statement(), zero);
  EXPECT_EQ(workers.one.statement(), one);
}

TEST(JoinPlans, RejectsAndBadValuesOfBothAreThere) {
  Workers workers;
  workers.zero.add("[]", bench_time("08:00:00"));
  workers.one.add("[]", bench_time("08:00:00"));
  workers.zero.add(structured_event(id_of(0, 0), "acme", "llm", "-", R"({"user":"ann"})"),
                   bench_time("08:00:00"));
  workers.one.add(structured_event(id_of(1, 0), "acme", "llm", "-", R"({"user":"ann"})"),
                  bench_time("08:00:00"));
  const BatchPlan plan = workers.together();
  check_conservation(plan);
  EXPECT_EQ(plan.rejects.size(), workers.zero.plan.rejects.size() * 2);
  EXPECT_EQ(plan.reject_bytes, workers.zero.plan.reject_bytes + workers.one.plan.reject_bytes);
  ASSERT_FALSE(plan.meter_rejects.empty());
  for (const auto& [where, count] : plan.meter_rejects) EXPECT_EQ(count, 2);
}

// A reject that a commit had no room for, a record that was gone before it was read: promise P2.
TEST(JoinPlans, RangesOfBothAreThere) {
  Workers workers;
  workers.zero.add(Workers::event(0, 0, "acme", 1, "a", "ann"), bench_time("08:00:00"));
  workers.one.add(Workers::event(1, 0, "acme", 20, "a", "ann"), bench_time("08:00:00"));
  workers.zero.plan.reject_overflow = {{core::PartitionId(0), 3, 5, 2}};
  workers.one.plan.reject_overflow = {{core::PartitionId(1), 7, 7, 1},
                                      {core::PartitionId(0), 8, 9, 2}};
  workers.zero.plan.lost = {{core::PartitionId(0), 10, 19, 0}};
  workers.one.plan.lost = {{core::PartitionId(1), 20, 29, 0}};
  const auto told = [](const std::vector<OffsetRange>& ranges) {
    std::string text;
    for (const OffsetRange& range : ranges)
      text +=
          fmt::format("{}:{}-{}:{} ", range.partition.value(), range.first, range.last, range.rows);
    return text;
  };
  const BatchPlan plan = workers.together();
  EXPECT_EQ(told(plan.reject_overflow), "0:3-5:2 1:7-7:1 0:8-9:2 ");
  EXPECT_EQ(told(plan.lost), "0:10-19:0 1:20-29:0 ");
}

TEST(JoinPlans, NeverOverCataloguesTopologiesOrAPartition) {
  Workers workers;
  workers.zero.add(Workers::event(0, 0, "acme", 1, "a", "ann"), bench_time("08:00:00"));
  workers.one.add(Workers::event(1, 0, "acme", 20, "a", "ann"), bench_time("08:00:00"));
  const auto fitting = [&](const BatchPlan& other) {
    const BatchPlan* const plans[] = {&workers.zero.plan, &other, &workers.one.plan};
    return fit_together(plans);
  };
  EXPECT_EQ(fitting(workers.zero.plan), 1U);  // as when its last owner has lost it
  BatchPlan other = workers.one.plan;
  other.topic_partitions = 4;
  EXPECT_EQ(fitting(other), 1U);
  other = workers.one.plan;
  other.meters = std::make_shared<const MeterSet>(meters(), core::CatalogueVersion(9),
                                                  core::CatalogueVersion(9));
  EXPECT_EQ(fitting(other), 1U);
  BatchPlan idle;  // only the end of an aborted transaction
  idle.meters = workers.zero.plan.meters;
  idle.partitions[core::PartitionId(7)];
  EXPECT_EQ(fitting(idle), 3U);
}

TEST(JoinPlans, OnlySoMuchInOneTransaction) {
  BatchPlan plan;
  plan.meters = std::make_shared<const MeterSet>(meters(), core::CatalogueVersion(1),
                                                 core::CatalogueVersion(1));
  std::vector<BatchPlan> some(3, plan);
  const auto fitting = [&](auto make_large) {
    std::vector<const BatchPlan*> plans;
    for (BatchPlan& one : some) {
      one = plan;
      one.partitions[core::PartitionId(static_cast<std::int32_t>(plans.size()))];
      make_large(one);
      plans.push_back(&one);
    }
    return fit_together(plans);
  };
  EXPECT_EQ(fitting([](BatchPlan&) {}), 3U);
  EXPECT_EQ(fitting([](BatchPlan& one) { one.records = core::kMaxRecordsPerTransaction / 2; }), 2U);
  EXPECT_EQ(
      fitting([](BatchPlan& one) {
        one.totals.texts = std::make_shared<PlanTexts>();
        one.totals.texts->intern(std::string(core::kMaxTextBytesPerTransaction / 2 - 64, 'x'));
      }),
      2U);
  EXPECT_EQ(fitting([](BatchPlan& one) { one.reject_bytes = core::kMaxBytesPerTransaction / 2; }),
            2U);
  EXPECT_EQ(fitting([](BatchPlan& one) { one.handoff_bytes = core::kMaxBytesPerTransaction; }), 1U);
  EXPECT_EQ(fitting([](BatchPlan& one) {
              one.rejects.resize(static_cast<std::size_t>(core::kMaxRejectRowsPerTransaction));
            }),
            1U);
  EXPECT_EQ(fitting([](BatchPlan& one) {
              one.rejects.resize(core::kMaxRejectRowsPerTransaction / 2 - 1);
              one.reject_overflow.resize(1);
            }),
            2U);
  EXPECT_EQ(fitting([](BatchPlan& one) {
              one.rejects.resize(core::kMaxRejectRowsPerTransaction / 2 - 1);
              one.reject_overflow.resize(1);
              one.lost.resize(1);
            }),
            1U);
  EXPECT_EQ(
      fitting([](BatchPlan& one) { one.totals.unique_values = core::kMaxRowsPerTransaction / 2; }),
      2U);
  const auto with_windows = [](BatchPlan& one, std::size_t windows) {
    one.totals.texts = std::make_shared<PlanTexts>();
    for (std::size_t i = 0; i < windows; ++i) {
      const auto start = static_cast<std::int64_t>(i);
      ++one.totals.usage[one.totals.key({"acme", 0, start, start + 1, kNoDimensions})].events;
    }
  };
  EXPECT_EQ(fitting([&](BatchPlan& one) { with_windows(one, core::kMaxRowsPerTransaction / 3); }),
            3U);
  EXPECT_EQ(
      fitting([&](BatchPlan& one) { with_windows(one, core::kMaxRowsPerTransaction / 2 + 1); }),
      1U);
}

}  // namespace
}  // namespace tally::aggregator
