#include "aggregator/join_plans.h"

#include "core/check.h"
#include "core/limits.h"

#include <algorithm>
#include <array>
#include <cstddef>
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
  static constexpr std::size_t kAhead = 16;  // rows whose place is fetched meanwhile
  struct Place {
    WindowKey key;
    std::uint64_t hash = 0;
  };

  template <class Value>
  void add(const WindowMap<Value>& from, WindowMap<Value>& into) const {
    const auto rows = from.begin();
    const std::size_t size = from.size();
    std::array<Place, kAhead> places;  // of the rows from here on
    for (std::size_t i = 0; i < size + kAhead; ++i) {
      Place& place = places.at(i % kAhead);
      if (i >= kAhead)
        merge(rows[static_cast<std::ptrdiff_t>(i - kAhead)].second, into.at(place.key, place.hash));
      if (i >= kAhead / 2 && i < size + kAhead / 2)
        into.prefetch_row(places.at((i - kAhead / 2) % kAhead).hash);
      if (i >= size) continue;
      place = place_of(rows[static_cast<std::ptrdiff_t>(i)].first);
      into.prefetch(place.hash);
    }
  }

  [[nodiscard]] Place place_of(const WindowKey& key) const {
    WindowKey here = key;
    here.tenant_text = texts_[key.tenant_text->number()];
    here.dimensions_text = texts_[key.dimensions_text->number()];
    return {here, hash_of(here)};
  }

  const TotalsPlan& from_;
  TotalsPlan& into_;
  std::vector<const PlanText*> texts_;  // of the joined plan, by the number in this one
};

// Room for the windows of all of them, which may be the same ones and may not.
void reserve(std::span<const BatchPlan* const> plans, TotalsPlan& together) {
  const auto reserve = [&](auto windows) {
    std::size_t size = 0;
    for (const BatchPlan* plan : plans) size += (plan->totals.*windows).size();
    if (size != 0) (together.*windows).reserve(size);
  };
  reserve(&TotalsPlan::usage);
  reserve(&TotalsPlan::gauges);
  reserve(&TotalsPlan::maxima);
  reserve(&TotalsPlan::minima);
  reserve(&TotalsPlan::uniques);
}

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
  reserve(plans, all.totals);
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
