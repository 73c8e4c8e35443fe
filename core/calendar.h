// Which window, day, month and billing period hold a moment of a tenant's use. Pure functions of
// the tenant's time zone and period edges.
//
// A window is a minute, an hour or a day, cut so that windows add up to whatever is billed:
//   - `day` is the tenant's local day; windows never cross its edges. On days that do not begin and
//     end on whole hours of UTC an hour's window is a quarter of an hour instead.
//   - No window crosses an edge of a billing period, which may fall on any second.
//   - Where a tenant pays through Stripe and no edge is known yet (no period at all, or later than
//     the last one that is known), windows are minutes, so that an edge found later cuts little.
#pragma once

#include "core/time_zone.h"
#include "core/window.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tally::core {

enum class Payment : std::uint8_t { kNone, kStripe };

// Immutable; shared by threads.
class Calendar {
 public:
  Calendar() = default;  // UTC, no periods, no payment: how unknown tenants are counted
  // Of periods that overlap, a moment belongs to the one that started last; their order is free.
  // Edges are whole seconds.
  Calendar(TimeZone zone, std::vector<Window> periods, Payment payment);

  [[nodiscard]] LocalSpan day_of(Timestamp time) const { return zone_.day_of(time); }
  [[nodiscard]] LocalSpan month_of(Timestamp time) const { return zone_.month_of(time); }
  [[nodiscard]] std::optional<Window> period_of(Timestamp time) const;
  [[nodiscard]] Window window_of(Timestamp time, WindowSize size) const {
    return window_in(day_of(time).window, time, size);
  }
  // The same, by one who knows the local day already.
  [[nodiscard]] Window window_in(const Window& day, Timestamp time, WindowSize size) const;

 private:
  [[nodiscard]] std::int64_t grain_seconds(const Window& day, Timestamp time,
                                           WindowSize size) const;

  TimeZone zone_;
  std::vector<Window> periods_;   // by start
  std::vector<Timestamp> edges_;  // of all periods, sorted
  Payment payment_ = Payment::kNone;
};

// Reads a calendar for many moments close to each other: remembers the last window of each size and
// the last day. One thread; the calendar must outlive it.
class CalendarReader {
 public:
  explicit CalendarReader(const Calendar& calendar) : calendar_(&calendar) {}

  [[nodiscard]] const Window& window_of(Timestamp time, WindowSize size) {
    Window& last = last_[static_cast<std::size_t>(size)];
    if (time < last.start || last.end <= time) [[unlikely]]
      last = look_up(time, size);
    return last;
  }

 private:
  [[nodiscard]] Window look_up(Timestamp time, WindowSize size);

  const Calendar* calendar_;
  Window day_;
  std::array<Window, 3> last_{};  // by WindowSize; empty at first
};

}  // namespace tally::core
