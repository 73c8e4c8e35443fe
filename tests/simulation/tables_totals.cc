// Windows, and the days, months and billing periods that follow from them.
#include "tests/simulation/tables.h"

#include <algorithm>

namespace tally::simulation {

using aggregator::BatchPlan;
using aggregator::Span;

namespace {

void merge(core::UsageDelta& into, const core::UsageDelta& other) { into += other; }
void merge(UniqueStored& into, const aggregator::UniqueSet& other) {
  into.members.insert(other.values.begin(), other.values.end());
  into.events += other.events;
}
template <class Value>
void merge(Value& into, const Value& other) {
  into.merge(other);
}

template <class Planned, class Stored>
void apply_windows(const BatchPlan& plan, const aggregator::WindowMap<Planned>& windows,
                   std::map<TotalKey, Stored>& stored, Tables& tables) {
  for (const auto& [key, value] : windows) {
    const TotalKey row{std::string(key.tenant()), plan.meters->meters()[key.meter].slug,
                       key.start_seconds, std::string(key.dimensions())};
    merge(stored[row], value);
    tables.window_ends.try_emplace(row, key.end_seconds());  // a stored window is never split
  }
}

template <class Planned, class Stored>
void apply_spans(const BatchPlan& plan, const aggregator::SpanRows<Planned>& spans,
                 std::map<SpanTotalKey, Stored>& stored, Tables& tables) {
  for (const auto& [key, value] : spans) {
    const SpanTotalKey row{std::string(key.tenant), plan.meters->meters()[key.meter].slug, key.span,
                           key.start_seconds, std::string(key.dimensions)};
    merge(stored[row], value);
    tables.span_edges.try_emplace(row, SpanEdge{key.end_seconds, key.first_date});
  }
}

bool is_of(const SpanTotalKey& key, const PeriodRow& period) {
  return std::get<0>(key) == period.tenant && std::get<2>(key) == Span::kPeriod &&
         std::get<3>(key) == period.start_seconds;
}

enum class Dimensions : std::uint8_t { kKept, kMerged };

// The totals of one period, anew, from the windows that start in it.
template <class Value>
void open_period(const PeriodRow& period, std::int32_t first_date,
                 const std::map<TotalKey, Value>& windows, Dimensions dimensions,
                 std::map<SpanTotalKey, Value>& totals, Tables& tables) {
  std::erase_if(totals, [&](const auto& row) { return is_of(row.first, period); });
  const TotalKey first{period.tenant, {}, {}, {}};
  for (auto window = windows.lower_bound(first);
       window != windows.end() && std::get<0>(window->first) == period.tenant; ++window) {
    const auto& [tenant, meter, start, kept] = window->first;
    if (start < period.start_seconds || start >= period.end_seconds) continue;
    const SpanTotalKey row{
        tenant, meter, Span::kPeriod, period.start_seconds,
        dimensions == Dimensions::kKept ? kept : std::string(aggregator::kNoDimensions)};
    merge(totals[row], window->second);
    tables.span_edges[row] = {period.end_seconds, first_date};
  }
}

}  // namespace

void Tables::apply_totals(const BatchPlan& plan) {
  const aggregator::SpanTotals spans = aggregator::span_totals(aggregator::PlanRows(plan.totals));
  apply_windows(plan, plan.totals.usage, usage, *this);
  apply_windows(plan, plan.totals.gauges, gauges, *this);
  apply_windows(plan, plan.totals.maxima, maxima, *this);
  apply_windows(plan, plan.totals.minima, minima, *this);
  apply_windows(plan, plan.totals.uniques, uniques, *this);
  apply_spans(plan, spans.usage, usage_totals, *this);
  apply_spans(plan, spans.gauges, gauge_totals, *this);
  apply_spans(plan, spans.maxima, max_totals, *this);
  apply_spans(plan, spans.minima, min_totals, *this);
  apply_spans(plan, spans.uniques, unique_totals, *this);
}

bool Tables::all_open(const TenantRows& tenants) const {
  return std::all_of(tenants.periods.begin(), tenants.periods.end(), [&](const PeriodRow& period) {
    const auto found = opened.find({period.tenant, period.start_seconds});
    return found != opened.end() && found->second == period.end_seconds;
  });
}

void Tables::open_periods(const TenantRows& tenants) {
  for (const PeriodRow& period : tenants.periods) {
    const auto [found, fresh] =
        opened.try_emplace({period.tenant, period.start_seconds}, period.end_seconds);
    if (!fresh && found->second == period.end_seconds) continue;
    found->second = period.end_seconds;
    const std::int32_t first_date = tenants.book->calendar_of(period.tenant)
                                        .day_of(core::Timestamp::from_seconds(period.start_seconds))
                                        .first_date;
    std::erase_if(span_edges, [&](const auto& row) { return is_of(row.first, period); });
    open_period(period, first_date, usage, Dimensions::kMerged, usage_totals, *this);
    open_period(period, first_date, gauges, Dimensions::kKept, gauge_totals, *this);
    open_period(period, first_date, maxima, Dimensions::kKept, max_totals, *this);
    open_period(period, first_date, minima, Dimensions::kKept, min_totals, *this);
    open_period(period, first_date, uniques, Dimensions::kMerged, unique_totals, *this);
  }
}

}  // namespace tally::simulation
