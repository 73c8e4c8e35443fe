#include "aggregator/span_totals.h"

#include "core/check.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using core::Timestamp;

void merge(core::UsageDelta& into, const core::UsageDelta& other) { into += other; }
template <class Value>
void merge(Value& into, const Value& other) {
  into.merge(other);
}

// The spans of a tenant's windows, which mostly lie in one day.
class Spans {
 public:
  explicit Spans(const core::Calendar& calendar) : calendar_(&calendar) {}

  struct Place {
    core::LocalSpan day;
    core::LocalSpan month;
    std::optional<core::LocalSpan> period;
  };

  const Place& of(Timestamp start) {
    if (!holds(last_.day.window, start)) {
      last_.day = calendar_->day_of(start);
      last_.month = calendar_->month_of(start);
    }
    const auto period = calendar_->period_of(start);
    if (!period) {
      last_.period.reset();
    } else if (!last_.period || last_.period->window != *period) {
      last_.period = {*period, calendar_->day_of(period->start).first_date};
    }
    return last_;
  }

 private:
  static bool holds(const core::Window& window, Timestamp time) {
    return window.start <= time && time < window.end;
  }

  const core::Calendar* calendar_;
  Place last_;
};

// What one tenant's meter gains in spans of one kind.
template <class Value>
class Gains {
 public:
  struct Gain {
    core::LocalSpan span;
    std::uint32_t rank = 0;  // of the dimensions, among the plan's texts
    std::string_view dimensions;
    Value value;
  };

  void add(const core::LocalSpan& span, std::uint32_t rank, std::string_view dimensions,
           const Value& value) {
    if (gains_.empty() || place_of(gains_.back()) != std::pair(span.window.start, rank))
      gains_.push_back({span, rank, dimensions, Value{}});
    merge(gains_.back().value, value);
  }
  // All of them, each span and dimensions once, in key order; and is empty again.
  template <class Visit>
  void take(const Visit& visit) {
    std::sort(gains_.begin(), gains_.end(),
              [](const Gain& a, const Gain& b) { return place_of(a) < place_of(b); });
    for (auto gain = gains_.begin(); gain != gains_.end();) {
      auto next = gain + 1;
      for (; next != gains_.end() && place_of(*next) == place_of(*gain); ++next)
        merge(gain->value, next->value);
      visit(*gain);
      gain = next;
    }
    gains_.clear();
  }

 private:
  static std::pair<Timestamp, std::uint32_t> place_of(const Gain& gain) {
    return {gain.span.window.start, gain.rank};
  }

  std::vector<Gain> gains_;
};

enum class Dimensions : std::uint8_t { kKept, kMerged };

// Goes from one tenant's meter to the next: the rows lie in that order.
template <class Value>
void add_spans(const PlanRows& rows, const WindowRows<Value>& windows, Dimensions dimensions,
               SpanRows<Value>& spans) {
  std::array<Gains<Value>, 3> gains;  // by Span
  std::optional<Spans> calendar;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const auto& [key, value] = *windows[i];
    if (i == 0 || windows[i - 1]->first.tenant_text != key.tenant_text)
      calendar.emplace(rows.plan.tenants->calendar_of(key.tenant()));
    const auto& place = calendar->of(Timestamp::from_seconds(key.start_seconds));
    const bool kept = dimensions == Dimensions::kKept;
    const std::uint32_t rank = kept ? rows.ranks.of(*key.dimensions_text) : 0;
    const std::string_view text = kept ? key.dimensions() : kNoDimensions;
    gains[0].add(place.day, rank, text, value);
    gains[1].add(place.month, rank, text, value);
    if (place.period) gains[2].add(*place.period, rank, text, value);
    const WindowKey* const next = i + 1 < windows.size() ? &windows[i + 1]->first : nullptr;
    if (next && next->tenant_text == key.tenant_text && next->meter == key.meter) continue;
    for (const Span span : {Span::kDay, Span::kMonth, Span::kPeriod}) {
      gains.at(static_cast<std::size_t>(span)).take([&](auto& gain) {
        spans.emplace_back(SpanKey{windows[i]->first.tenant(), windows[i]->first.meter, span,
                                   gain.span.window.start.seconds(), gain.dimensions,
                                   gain.span.window.end.seconds(), gain.span.first_date},
                           std::move(gain.value));
      });
    }
  }
}

}  // namespace

std::string_view to_string(Span span) {
  switch (span) {
    case Span::kDay:
      return "day";
    case Span::kMonth:
      return "month";
    case Span::kPeriod:
      return "period";
  }
  core::check_failed("a known span", __FILE__, __LINE__, "");
}

SpanTotals span_totals(const PlanRows& rows) {
  SpanTotals totals;
  if (rows.plan.windows() == 0) return totals;
  TALLY_CHECK(rows.plan.tenants != nullptr);
  add_spans(rows, rows.usage, Dimensions::kMerged, totals.usage);
  add_spans(rows, rows.gauges, Dimensions::kKept, totals.gauges);
  add_spans(rows, rows.maxima, Dimensions::kKept, totals.maxima);
  add_spans(rows, rows.minima, Dimensions::kKept, totals.minima);
  add_spans(rows, rows.uniques, Dimensions::kMerged, totals.uniques);
  return totals;
}

std::int32_t local_date_of(const TotalsPlan& plan, const WindowKey& key) {
  return plan.tenants->calendar_of(key.tenant())
      .day_of(Timestamp::from_seconds(key.start_seconds))
      .first_date;
}

}  // namespace tally::aggregator
