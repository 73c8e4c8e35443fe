// What a counted record adds to the totals. Pure; the order of records never matters.
//
// Threads: one Contribution per thread.
#pragma once

#include "aggregator/meter_reader.h"
#include "aggregator/meter_set.h"
#include "aggregator/row_table.h"
#include "aggregator/tenant_book.h"
#include "aggregator/totals_plan.h"
#include "core/calendar.h"
#include "core/identity.h"
#include "core/timestamp.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// Of one record, what all its values share.
struct CountedEvent {
  core::Timestamp time;
  core::DedupEntry identity;  // breaks ties of equal times
};

// One meter's part of an event: what, and where it goes.
struct PlacedValue {
  const TakenValue* taken = nullptr;
  core::Aggregation aggregation = core::Aggregation::kCount;
  WindowKey key;
  std::uint64_t hash = 0;
};

class Contribution {
 public:
  // Without a book nobody is known, and everyone is counted in UTC.
  Contribution(std::shared_ptr<const MeterSet> meters, std::shared_ptr<const TenantBook> tenants);

  // Finds a tenant by this. What place() will look up of it is fetched by the two steps, a little
  // apart.
  [[nodiscard]] std::uint64_t expect(std::string_view tenant) const;
  void prefetch_tenant(std::uint64_t hash) const { met_.prefetch_row(hash); }
  // Which windows an event would add to, and fetches what they stand on: before its turn, when it
  // is not known yet whether it will be counted. The plan gains texts by it, and no window.
  void place(std::string_view tenant, std::uint64_t hash, core::Timestamp time,
             const MeterReader& reader, TotalsPlan& totals, std::vector<PlacedValue>& placed);
  // A little later, and still before add().
  static void prefetch_rows(const std::vector<PlacedValue>& placed, const TotalsPlan& totals);
  // What place() found, into the same plan.
  void add(const CountedEvent& event, const std::vector<PlacedValue>& placed, TotalsPlan& totals);

 private:
  struct Tenant {
    const PlanText* name = nullptr;
    core::CalendarReader calendar;
  };
  void begin(TotalsPlan& totals);
  [[nodiscard]] Tenant& met(std::string_view tenant, std::uint64_t hash);

  std::shared_ptr<const MeterSet> meters_;
  std::shared_ptr<const TenantBook> tenants_;
  std::shared_ptr<PlanTexts> texts_;  // of the plan that is being folded
  const PlanText* none_ = nullptr;    // of them, of a meter without dimensions
  RowTable<Tenant> met_;              // tenants met in this plan
  std::size_t usage_windows_ = 0;     // of the last plan that was added to
};

}  // namespace tally::aggregator
