// Folds records given as a small table and shows what the plan says as a small statement of
// account, so that a test reads like a page of a ledger. One thread; a bench owns all its parts.
#pragma once

#include "aggregator/fold.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

// 2026-11-21T00:00:00Z; the tables' times of day count from here.
inline constexpr std::int64_t kBenchDaySeconds = 1'795'219'200;
inline constexpr FoldRules kBenchRules = {35 * 86'400, 300, 1};

// Meters as the tests need them: the JSON path of the value has one step.
core::Meter sum_meter(std::string slug, std::string event_type, std::string value);
core::Meter count_meter(std::string slug, std::string event_type);
core::Meter latest_meter(std::string slug, std::string event_type, std::string value);
core::Meter grouped(core::Meter meter, std::vector<std::string> dimensions);
core::Meter where(core::Meter meter, std::string member, core::FilterKind kind,
                  std::vector<core::Scalar> values);

// "08:00:01", "35+08:00:01" (days later), "-1+08:00:01" or a whole RFC 3339 time.
core::Timestamp bench_time(std::string_view text);

std::string structured_event(std::string_view id, std::string_view tenant, std::string_view type,
                             std::string_view time, std::string_view data);

class FoldBench {
 public:
  explicit FoldBench(std::vector<core::Meter> meters, FoldRules rules = kBenchRules,
                     std::int64_t definition_version = 1,
                     core::PartitionId partition = core::PartitionId(0));

  // Each line: log time, the event's time ("-": none), id, tenant, type, data, "|", the class.
  // Lines that start with # are for people. Fails the test where a class differs.
  void check(std::string_view table);

  // The next offset, or any beyond it.
  RecordClass add(const std::string& value, core::Timestamp log_time);
  RecordClass add_at(std::int64_t offset, const std::string& value, core::Timestamp log_time);

  // What another partition handed off, as the row of the table that it lies in.
  void receive(const HandoffRow& row);

  // The catalogue as it is after a change: the memory stays.
  void change_catalogue(std::vector<core::Meter> meters, std::int64_t definition_version);
  // Before the first record.
  void know(std::shared_ptr<const TenantBook> tenants);
  // What a commit does to the bench: the plan goes, the state stays.
  void start_new_plan() { plan = BatchPlan(); }

  // Ledger, windows, gauges, rejects and meter counts; no line where there is nothing.
  [[nodiscard]] std::string statement() const;

  PartitionState state;  // nobody lags behind it, unless a test says so
  BatchPlan plan;

 private:
  core::IdentityHasher hasher_;
  FoldRules rules_;
  std::shared_ptr<const MeterSet> meters_;
  std::shared_ptr<const TenantBook> tenants_;  // null: nobody is known
  std::unique_ptr<Fold> fold_;

 public:
  Fold& fold() { return *fold_; }
};

std::string_view name_of(RecordClass record_class);

// Compares with the table's first line break and indentation taken away.
void expect_statement(const FoldBench& bench, std::string_view expected);

}  // namespace tally::aggregator
