#include "aggregator/join_plans.h"

#include "core/check.h"
#include "core/limits.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

namespace tally::aggregator {

namespace {

// Keys begin with a partition, which one plan alone has.
template <class Map>
void add_disjoint(const Map& from, Map& into) {
  const std::size_t together = into.size() + from.size();
  into.insert(from.begin(), from.end());
  TALLY_CHECK(into.size() == together, "two plans of one partition");
}

template <class Row>
void append(const std::vector<Row>& from, std::vector<Row>& into) {
  into.insert(into.end(), from.begin(), from.end());
}

void merge(const core::UsageDelta& from, core::UsageDelta& into) { into += from; }
template <class Value>
void merge(const Value& from, Value& into) {
  into.merge(from);
}

// A plan's windows go under the texts of the joined one.
class Totals {
 public:
  Totals(const TotalsPlan& from, TotalsPlan& into) : from_(from), into_(into) {
    texts_.reserve(from.texts->size());
    for (const PlanText* text : *from.texts) texts_.push_back(&into.texts->intern(text->view()));
  }

  void add() const {
    add(from_.usage, into_.usage);
    add(from_.gauges, into_.gauges);
    add(from_.maxima, into_.maxima);
    add(from_.minima, into_.minima);
    add(from_.uniques, into_.uniques);
    into_.unique_values += from_.unique_values;
  }

 private:
  template <class Value>
  void add(const WindowMap<Value>& from, WindowMap<Value>& into) const {
    into.reserve(from.size());
    for (const auto& [key, value] : from) {
      WindowKey here = key;
      here.tenant_text = texts_[key.tenant_text->number()];
      here.dimensions_text = texts_[key.dimensions_text->number()];
      merge(value, into[here]);
    }
  }

  const TotalsPlan& from_;
  TotalsPlan& into_;
  std::vector<const PlanText*> texts_;  // of the joined plan, by the number in this one
};

}  // namespace

std::size_t fit_together(std::span<const BatchPlan* const> plans) {
  const BatchPlan& first = *plans.front();
  std::int64_t records = 0;
  std::size_t rows = 0;
  std::size_t text_bytes = 0;
  std::size_t rejects = 0;
  std::int64_t bytes = 0;
  std::set<core::PartitionId> partitions;
  std::int32_t topic_partitions = 0;
  const auto fits = [&](const BatchPlan* plan) {
    records += plan->records;
    rows += plan->totals.rows();
    text_bytes += plan->totals.texts->bytes();
    rejects += plan->rejects.size() + plan->reject_overflow.size() + plan->lost.size();
    bytes += plan->reject_bytes + plan->handoff_bytes;
    bool apart = true;
    for (const auto& [id, advance] : plan->partitions) apart &= partitions.insert(id).second;
    // A plan that folded nothing knows of no partitions.
    const bool of_one_topology = topic_partitions == 0 || plan->topic_partitions == 0 ||
                                 plan->topic_partitions == topic_partitions;
    topic_partitions = std::max(topic_partitions, plan->topic_partitions);
    return apart && of_one_topology && plan->meters->version() == first.meters->version() &&
           records <= core::kMaxRecordsPerTransaction && rows <= core::kMaxRowsPerTransaction &&
           text_bytes <= core::kMaxTextBytesPerTransaction &&
           rejects <= core::kMaxRejectRowsPerTransaction && bytes <= core::kMaxBytesPerTransaction;
  };
  const auto rest = plans.subspan(1);
  (void)fits(&first);  // it goes whatever its size
  return 1 + static_cast<std::size_t>(std::ranges::find_if_not(rest, fits) - rest.begin());
}

BatchPlan joined(std::span<const BatchPlan* const> plans) {
  TALLY_CHECK(fit_together(plans) == plans.size(), "plans that no transaction may commit together");
  const BatchPlan& first = *plans.front();
  BatchPlan all;
  all.topic = first.topic;
  all.meters = first.meters;
  for (const BatchPlan* plan : plans) {
    add_disjoint(plan->partitions, all.partitions);
    add_disjoint(plan->ledger, all.ledger);
    add_disjoint(plan->segments, all.segments);
    add_disjoint(plan->handoffs, all.handoffs);
    add_disjoint(plan->taken, all.taken);
    if (!all.totals.tenants) all.totals.tenants = plan->totals.tenants;
    Totals(plan->totals, all.totals).add();
    append(plan->rejects, all.rejects);
    append(plan->reject_overflow, all.reject_overflow);
    append(plan->lost, all.lost);
    for (const auto& [where, count] : plan->meter_rejects) all.meter_rejects[where] += count;
    all.records += plan->records;
    all.topic_partitions = std::max(all.topic_partitions, plan->topic_partitions);
    all.handoff_bytes += plan->handoff_bytes;
    all.reject_bytes += plan->reject_bytes;
  }
  return all;
}

}  // namespace tally::aggregator
