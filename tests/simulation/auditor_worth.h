// What counted records must have left in windows, days, months and billing periods: worked out from
// what was written down when they were made, one by one, without the aggregator's fold, plan or
// calendar.
#pragma once

#include "tests/simulation/tenants.h"
#include "tests/simulation/workload.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation {

// Totals as text: key -> value.
using Totals = std::map<std::string, std::string>;

[[nodiscard]] Totals totals_in(const Tables& tables);
// The tenant that a total belongs to.
[[nodiscard]] std::string_view tenant_of(std::string_view key);

// A record that may have been counted, and when: the first commit that writes a row says where it
// ends.
struct Counted {
  const Message* message = nullptr;
  std::int64_t time_us = 0;
  std::int64_t commit = 0;
  std::size_t catalogue = 0;
};

class Worth {
 public:
  // Periods are those that the tables say were opened.
  Worth(const Tenants& tenants, const Tables& tables) : tenants_(tenants), tables_(tables) {}

  void add(const Counted& record);
  [[nodiscard]] Totals text() const;

 private:
  struct Row {
    core::Aggregation aggregation = core::Aggregation::kSum;
    core::Decimal value;
    std::int64_t time_us = 0;
    std::set<std::string> members;
    std::int64_t events = 0;
    std::int64_t commit = 0;
    std::int64_t end = 0;
    std::int32_t date = 0;
  };
  void add_to(const std::string& key, const Counted& record, const Reading& reading,
              const LocalDay& place);

  const Tenants& tenants_;
  const Tables& tables_;
  std::map<std::string, Row> rows_;
};

}  // namespace tally::simulation
