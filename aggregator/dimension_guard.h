// Bounds how many combinations of dimensions a tenant and meter may have in a month (promise P8).
// Events of further ones are counted, but under kOverflowDimensions, and how many they are stands
// in tally.dimension_month: never silent.
//
// What was taken in stays in, so most answers come from memory: Postgres is asked about
// combinations that this guard has not met. Threads: one. Lifetime: of one connection's store.
#pragma once

#include "aggregator/meter_set.h"
#include "aggregator/totals_plan.h"
#include "runtime/postgres/connection.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// No meter can have a dimension called `*`, so no event's own dimensions look like this.
inline constexpr std::string_view kOverflowDimensions = R"({"*":"overflow"})";

class DimensionGuard {
 public:
  explicit DimensionGuard(std::int64_t limit) : limit_(limit) {}

  // Within a commit's transaction, before the windows are written. nullopt: the plan stays as it
  // is; else the plan to write instead. Counts the events that overflow.
  [[nodiscard]] std::optional<TotalsPlan> admit(const TotalsPlan& plan, const MeterSet& meters,
                                                runtime::postgres::Transaction& transaction);
  // The transaction of the last admit() was committed: what it took in may be remembered.
  void committed();

 private:
  std::int64_t limit_;
  boost::unordered_flat_set<std::string> admitted_;  // tenant, meter, month, dimensions
  std::vector<std::string> provisional_;
};

}  // namespace tally::aggregator
