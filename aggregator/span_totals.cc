#include "aggregator/span_totals.h"

#include "core/check.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <functional>
#include <optional>
#include <utility>

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

using SpansOfTenants =
    boost::unordered_flat_map<std::string_view, Spans, TenantHash, std::equal_to<>>;

enum class Dimensions : std::uint8_t { kKept, kMerged };

template <class Value>
void add_spans(const TotalsPlan& plan, const WindowMap<Value>& windows, SpansOfTenants& tenants,
               Dimensions dimensions, SpanMap<Value>& spans) {
  for (const auto& [key, value] : windows) {
    const auto tenant =
        tenants.try_emplace(key.tenant(), plan.tenants->calendar_of(key.tenant())).first;
    const auto& place = tenant->second.of(Timestamp::from_seconds(key.start_seconds));
    const std::string_view kept =
        dimensions == Dimensions::kKept ? key.dimensions() : kNoDimensions;
    const auto add = [&](Span span, const core::LocalSpan& local) {
      const SpanKey span_key{key.tenant(),
                             key.meter,
                             span,
                             local.window.start.seconds(),
                             kept,
                             local.window.end.seconds(),
                             local.first_date};
      merge(spans[span_key], value);
    };
    add(Span::kDay, place.day);
    add(Span::kMonth, place.month);
    if (place.period) add(Span::kPeriod, *place.period);
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

SpanTotals span_totals(const TotalsPlan& plan) {
  SpanTotals totals;
  if (plan.windows() == 0) return totals;
  TALLY_CHECK(plan.tenants != nullptr);
  SpansOfTenants tenants;
  add_spans(plan, plan.usage, tenants, Dimensions::kMerged, totals.usage);
  add_spans(plan, plan.gauges, tenants, Dimensions::kKept, totals.gauges);
  add_spans(plan, plan.maxima, tenants, Dimensions::kKept, totals.maxima);
  add_spans(plan, plan.minima, tenants, Dimensions::kKept, totals.minima);
  add_spans(plan, plan.uniques, tenants, Dimensions::kMerged, totals.uniques);
  return totals;
}

std::int32_t local_date_of(const TotalsPlan& plan, const WindowKey& key) {
  return plan.tenants->calendar_of(key.tenant())
      .day_of(Timestamp::from_seconds(key.start_seconds))
      .first_date;
}

}  // namespace tally::aggregator
