// Bounds how many combinations of dimensions a tenant and meter may have in a month (promise P8).
// Events of further ones are counted, but under kOverflowDimensions, and how many they are stands
// in tally.dimension_month: never silent.
//
// What was taken in stays in, so most answers come from memory: Postgres is asked about
// combinations that this guard has not met. Threads: one. Lifetime: of one store.
#pragma once

#include "aggregator/totals_store.h"
#include "runtime/postgres/connection.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

// No meter can have a dimension called `*`, so no event's own dimensions look like this.
inline constexpr std::string_view kOverflowDimensions = R"({"*":"overflow"})";

// Told how many events a committed transaction put under kOverflowDimensions, once each and only
// when there were some.
using OverflowObserver = std::function<void(std::int64_t events)>;

class DimensionGuard {
 public:
  explicit DimensionGuard(std::int64_t limit, OverflowObserver observer = {})
      : limit_(limit), observe_(std::move(observer)) {}

  // Within a commit's transaction, before the windows are written. nullopt: the plan stays as it
  // is; else the plan to write instead. Counts the events that overflow.
  [[nodiscard]] std::optional<TotalsPlan> admit(const TotalsPlan& plan, const MeterSet& meters,
                                                runtime::postgres::Transaction& transaction);
  // The transaction of the last admit() was committed: what it took in may be remembered, and what
  // overflowed is told. A second call says nothing new.
  void committed();
  // Whether it was, nobody knows; it was this plan's. What overflowed is told when the plan, or a
  // part of it that holds its first partition, turns out to be committed.
  void in_doubt(const BatchPlan& plan);
  void resolved(const BatchPlan& plan, Resolution resolution);
  // The connection is gone. The database that answers next may be an older one, restored from a
  // backup, which took in less.
  void forget();

 private:
  struct InDoubt {
    core::Epoch epoch;
    core::Offset start;
    std::int64_t overflowed = 0;
  };
  void tell(std::int64_t overflowed) const;

  std::int64_t limit_;
  OverflowObserver observe_;
  boost::unordered_flat_set<std::string> admitted_;  // tenant, meter, month, dimensions
  std::vector<std::string> provisional_;
  std::int64_t overflowed_ = 0;  // events of the last admit(), until its transaction is committed
  std::map<core::PartitionId, InDoubt> in_doubt_;  // by the plan's first
};

}  // namespace tally::aggregator
