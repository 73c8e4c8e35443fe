// What a counted record adds to the totals. Pure; the order of records never matters.
//
// Threads: one Contribution per thread.
#pragma once

#include "aggregator/meter_reader.h"
#include "aggregator/meter_set.h"
#include "aggregator/totals_plan.h"
#include "core/identity.h"
#include "core/timestamp.h"

#include <memory>
#include <string_view>

namespace tally::aggregator {

// Of one record, what all its values share.
struct CountedEvent {
  std::string_view tenant;
  core::Timestamp time;
  core::DedupEntry identity;  // breaks ties of equal times
};

class Contribution {
 public:
  explicit Contribution(std::shared_ptr<const MeterSet> meters);

  void add(const CountedEvent& event, const MeterReader& reader, TotalsPlan& totals);

 private:
  std::shared_ptr<const MeterSet> meters_;
};

}  // namespace tally::aggregator
