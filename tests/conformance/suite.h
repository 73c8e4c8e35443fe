// The fixture of the conformance suite, and the small words its tests are written in.
#pragma once

#include "tests/conformance/store_under_test.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::conformance {

inline constexpr const char* kTopic = "usage.events";
inline constexpr LogDay kDay = 20'000;  // 2024-10-04
inline constexpr std::int64_t kHorizonSeconds = 35 * 86'400;
// With a future bound of 300 s: identities are remembered for ten days.
inline constexpr std::int64_t kTenDaysSeconds = 8 * 86'400;

// An identity whose murmur2 bits are `home_bits`; another for each serial.
core::DedupEntry identity(std::uint32_t home_bits, std::uint64_t serial);
// `count` identities at home in `partition` under `partitions`, and in ever other partitions under
// more.
std::vector<core::DedupEntry> identities_of(std::int32_t partition, std::int32_t partitions,
                                            std::size_t count, std::uint64_t serial);
aggregator::dedup::SegmentToken fresh_token();
core::Meter sum_meter(const std::string& slug);

class StoreConformance : public testing::TestWithParam<Subject> {
 protected:
  using State = std::unique_ptr<aggregator::PartitionState>;

  void SetUp() override;
  void TearDown() override;

  // A connection of the test, kept until its end.
  StoreConnection& connect();
  // Runs a call to its end and returns what it returned; what it threw is thrown.
  template <class Work>
  auto run(StoreConnection& connection, Work work) {
    using Result = decltype(work(std::declval<aggregator::TotalsStore&>()));
    if constexpr (std::is_void_v<Result>) {
      connection.start([&](aggregator::TotalsStore& store) { work(store); });
      finish(connection);
    } else {
      Result result{};
      connection.start([&](aggregator::TotalsStore& store) { result = work(store); });
      finish(connection);
      return result;
    }
  }
  static void finish(StoreConnection& connection);  // must not be blocked; rethrows

  static aggregator::OpenRequest asking(std::int32_t partitions,
                                        std::int64_t horizon_seconds = kHorizonSeconds,
                                        std::int64_t future_bound_seconds = 300);
  aggregator::Deployment open(StoreConnection& connection, std::int32_t partitions,
                              std::int64_t horizon_seconds = kHorizonSeconds);
  State acquire(StoreConnection& connection, std::int32_t partition,
                const aggregator::Deployment& deployment, const std::string& cache_folder = {});
  aggregator::CommitOutcome commit(StoreConnection& connection, const aggregator::BatchPlan& plan);
  aggregator::Resolution resolve(StoreConnection& connection, const aggregator::BatchPlan& plan);
  aggregator::RollUp roll_up(StoreConnection& connection, const aggregator::PartitionState& state);
  std::vector<aggregator::HandoffRow> waiting(StoreConnection& connection, std::int32_t home,
                                              const std::set<core::HandoffId>& under_way = {},
                                              std::optional<LogDay> last_day = std::nullopt);

  static aggregator::AcquireRequest request(std::int32_t partition,
                                            const aggregator::Deployment& deployment,
                                            const std::string& cache_folder = {});
  // A plan that folds nothing yet.
  static aggregator::BatchPlan empty_plan(const aggregator::Deployment& deployment);
  // The plan of one record for each entry, all counted on this day: the state moves on.
  static aggregator::BatchPlan counting(const aggregator::Deployment& deployment,
                                        aggregator::PartitionState& state,
                                        const std::vector<core::DedupEntry>& entries,
                                        LogDay day = kDay);
  static void count(aggregator::BatchPlan& plan, aggregator::PartitionState& state,
                    const std::vector<core::DedupEntry>& entries, LogDay day = kDay);
  // Adds to the plan: one record read here and handed off to `home`.
  static void hand_off(aggregator::BatchPlan& plan, aggregator::PartitionState& state,
                       std::int32_t home, const std::string& block, LogDay day = kDay);
  // Adds to the plan: these rows are received and all their records filtered.
  static void receive(aggregator::BatchPlan& plan, aggregator::PartitionState& state,
                      const std::vector<aggregator::HandoffRow>& rows, LogDay day = kDay);
  static bool remembers(const aggregator::PartitionState& state, const core::DedupEntry& entry,
                        LogDay today = kDay);
  static bool remembers_all(const aggregator::PartitionState& state,
                            const std::vector<core::DedupEntry>& entries, LogDay today = kDay);

  StoreUnderTest& store() { return *store_; }

 private:
  std::unique_ptr<StoreUnderTest> store_;
  std::vector<std::unique_ptr<StoreConnection>> connections_;
};

}  // namespace tally::conformance
