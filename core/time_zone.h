// A time zone's days and months, exact to the second, from the machine's zoneinfo. A plain value,
// cheap to copy; const throughout, so shared by threads freely.
//
// A day begins at the first moment whose local date is that day, and ends where the next one
// begins. So days of 23 and 25 hours are what they are, a day whose midnight is skipped begins at
// the jump, and days always follow each other without gap or overlap. (Where clocks fall back
// across midnight, the repeated part of the evening belongs to the day that had begun.)
#pragma once

#include "core/result.h"
#include "core/window.h"

#include <cstdint>
#include <memory>
#include <string>

namespace tally::core {

// A day or a month of local dates, with its first date in days since 1970-01-01.
struct LocalSpan {
  Window window;
  std::int32_t first_date = 0;
  friend constexpr auto operator<=>(const LocalSpan&, const LocalSpan&) = default;
};

class TimeZone {
 public:
  TimeZone() = default;  // UTC, which needs no zoneinfo
  // An IANA name such as Europe/Berlin. The error says that this machine does not know it.
  [[nodiscard]] static Result<TimeZone> load(const std::string& name);

  [[nodiscard]] LocalSpan day_of(Timestamp time) const;
  // The month that holds the day that holds `time`.
  [[nodiscard]] LocalSpan month_of(Timestamp time) const;

 private:
  struct Data;
  [[nodiscard]] Timestamp start_of(std::int32_t date) const;

  std::shared_ptr<const Data> data_;  // null: UTC
};

}  // namespace tally::core
