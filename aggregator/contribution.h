// What a counted record adds to the totals. Pure; the order of records never matters.
//
// Threads: one Contribution per thread.
#pragma once

#include "aggregator/meter_reader.h"
#include "aggregator/meter_set.h"
#include "aggregator/tenant_book.h"
#include "aggregator/totals_plan.h"
#include "core/calendar.h"
#include "core/identity.h"
#include "core/timestamp.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <functional>
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
  // Without a book nobody is known, and everyone is counted in UTC.
  Contribution(std::shared_ptr<const MeterSet> meters, std::shared_ptr<const TenantBook> tenants);

  void add(const CountedEvent& event, const MeterReader& reader, TotalsPlan& totals);

 private:
  [[nodiscard]] core::CalendarReader& calendar_of(std::string_view tenant);

  std::shared_ptr<const MeterSet> meters_;
  std::shared_ptr<const TenantBook> tenants_;
  // Of tenants met so far; the names are the book's.
  boost::unordered_flat_map<std::string_view, core::CalendarReader, TenantHash, std::equal_to<>>
      calendars_;
  core::CalendarReader unknown_;
};

}  // namespace tally::aggregator
