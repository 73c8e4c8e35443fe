#include "core/calendar.h"

#include "core/check.h"

#include <algorithm>
#include <utility>

namespace tally::core {
namespace {

constexpr std::int64_t kMinuteSeconds = 60;
constexpr std::int64_t kQuarterHourSeconds = 900;
constexpr std::int64_t kHourSeconds = 3600;

bool is_on(Timestamp time, std::int64_t grain_seconds) {
  return time.seconds() % grain_seconds == 0;
}

}  // namespace

Calendar::Calendar(TimeZone zone, std::vector<Window> periods, Payment payment)
    : zone_(std::move(zone)), periods_(std::move(periods)), payment_(payment) {
  std::sort(periods_.begin(), periods_.end());
  for (const Window& period : periods_) {
    TALLY_CHECK(period.start < period.end && period.start.micros() % 1'000'000 == 0 &&
                    period.end.micros() % 1'000'000 == 0,
                "a billing period of [{}, {}) micros", period.start.micros(), period.end.micros());
    edges_.push_back(period.start);
    edges_.push_back(period.end);
  }
  std::sort(edges_.begin(), edges_.end());
}

std::optional<Window> Calendar::period_of(Timestamp time) const {
  auto after = std::upper_bound(
      periods_.begin(), periods_.end(), time,
      [](Timestamp moment, const Window& period) { return moment < period.start; });
  while (after != periods_.begin()) {
    --after;
    if (time < after->end) return *after;
  }
  return std::nullopt;
}

std::int64_t Calendar::grain_seconds(const Window& day, Timestamp time, WindowSize size) const {
  const bool edges_unknown = edges_.empty() || edges_.back() <= time;
  if (size == WindowSize::kMinute || (payment_ == Payment::kStripe && edges_unknown)) {
    return kMinuteSeconds;
  }
  const bool whole_hours = is_on(day.start, kHourSeconds) && is_on(day.end, kHourSeconds);
  return whole_hours ? kHourSeconds : kQuarterHourSeconds;
}

Window Calendar::window_in(const Window& day, Timestamp time, WindowSize size) const {
  const std::int64_t grain = grain_seconds(day, time, size);
  Window window = day;
  if (size != WindowSize::kDay || grain == kMinuteSeconds) {
    const std::int64_t start = time.seconds() / grain * grain;
    window.start = std::max(window.start, Timestamp::from_seconds(start));
    window.end = std::min(window.end, Timestamp::from_seconds(start + grain));
  }
  const auto next = std::upper_bound(edges_.begin(), edges_.end(), time);
  if (next != edges_.end()) window.end = std::min(window.end, *next);
  if (next != edges_.begin()) window.start = std::max(window.start, *std::prev(next));
  TALLY_CHECK(window.start <= time && time < window.end, "micros {}", time.micros());
  return window;
}

Window CalendarReader::look_up(Timestamp time, WindowSize size) {
  if (time < day_.start || day_.end <= time) day_ = calendar_->day_of(time).window;
  return calendar_->window_in(day_, time, size);
}

}  // namespace tally::core
