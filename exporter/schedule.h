// When exports begin: so many seconds after each other, or at the times in UTC that five fields
// name as in crontab(5). A plain value.
#pragma once

#include "core/result.h"
#include "core/timestamp.h"

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace tally::exporter {

class Schedule {
 public:
  [[nodiscard]] static Schedule every(std::chrono::seconds interval);
  // "minute hour day-of-month month day-of-week": numbers (Sunday is 0 or 7), `*`, lists, ranges
  // and steps: "*/5 * * * *", "50 0,12 1-3 * *". Where both days are given either will do, as cron
  // has it. kInvalid names the field and its range, or says that more than a week may pass between
  // two.
  [[nodiscard]] static core::Result<Schedule> at(std::string_view fields);

  // The first time after that moment.
  [[nodiscard]] core::Timestamp next(core::Timestamp after) const;
  // When to look again behind an export that began at `started`: the next time, or five minutes
  // later if something is left to do: a row in doubt, one behind another, a database that was away.
  [[nodiscard]] core::Timestamp next_look(core::Timestamp started, bool is_settled) const;
  // From when on something is wrong if nothing ended since `last`: two more were due by then, and
  // `spare` is over.
  [[nodiscard]] core::Timestamp overdue_after(core::Timestamp last,
                                              std::chrono::seconds spare) const;

 private:
  Schedule() = default;
  [[nodiscard]] bool is_on(std::chrono::sys_days day) const;
  // The first one that is not before, on that day or the next ones.
  [[nodiscard]] std::optional<core::Timestamp> first_from(core::Timestamp moment,
                                                          int days_looked_at) const;

  static constexpr std::size_t kMost = 60;  // values of a field
  std::chrono::seconds interval_{0};        // 0: the fields say when
  std::array<std::bitset<kMost>, 5> fields_;
  bool any_day_of_month_ = true;
  bool any_day_of_week_ = true;
};

}  // namespace tally::exporter
