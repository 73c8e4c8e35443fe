#include "tests/simulation/auditor_worth.h"

#include <fmt/format.h>

namespace tally::simulation {

using core::Aggregation;

namespace {

constexpr std::string_view kMerged = "{}";

std::string total_key(std::string_view tenant, std::string_view span, std::string_view meter,
                      std::int64_t start, std::string_view dimensions) {
  return fmt::format("{} {} {} {} {}", tenant, span, meter, start, dimensions);
}

// A window's date is not stored.
std::string place_text(const LocalDay& place) {
  return place.date == 0 ? fmt::format("until {}", place.end)
                         : fmt::format("until {} on date {}", place.end, place.date);
}

std::string value_text(const core::UsageDelta& sum) {
  return fmt::format("{} of {}", sum.quantity.to_string(), sum.events);
}
std::string value_text(const UniqueStored& set) {
  return fmt::format("{} different of {}", set.members.size(), set.events);
}
template <class Reading>
std::string value_text(const Reading& reading) {
  return fmt::format("{} at {} of {}", reading.reading.to_string(), reading.read_at.micros(),
                     reading.events);
}

template <class Value>
void tell_windows(const Tables& tables, const std::map<TotalKey, Value>& rows, Totals& totals) {
  for (const auto& [key, value] : rows) {
    const auto& [tenant, meter, start, dimensions] = key;
    totals[total_key(tenant, "window", meter, start, dimensions)] =
        value_text(value) + ' ' + place_text({start, tables.window_ends.at(key), 0});
  }
}

template <class Value>
void tell_spans(const Tables& tables, const std::map<SpanTotalKey, Value>& rows, Totals& totals) {
  for (const auto& [key, value] : rows) {
    const auto& [tenant, meter, span, start, dimensions] = key;
    const SpanEdge& edge = tables.span_edges.at(key);
    totals[total_key(tenant, to_string(span), meter, start, dimensions)] =
        value_text(value) + ' ' + place_text({start, edge.end_seconds, edge.first_date});
  }
}

bool replaces(Aggregation aggregation, const core::Decimal& value, std::int64_t time_us,
              const core::Decimal& old_value, std::int64_t old_time_us) {
  if (aggregation == Aggregation::kMax && value != old_value) return value > old_value;
  if (aggregation == Aggregation::kMin && value != old_value) return value < old_value;
  return time_us > old_time_us;
}

}  // namespace

Totals totals_in(const Tables& tables) {
  Totals totals;
  tell_windows(tables, tables.usage, totals);
  tell_windows(tables, tables.gauges, totals);
  tell_windows(tables, tables.maxima, totals);
  tell_windows(tables, tables.minima, totals);
  tell_windows(tables, tables.uniques, totals);
  tell_spans(tables, tables.usage_totals, totals);
  tell_spans(tables, tables.gauge_totals, totals);
  tell_spans(tables, tables.max_totals, totals);
  tell_spans(tables, tables.min_totals, totals);
  tell_spans(tables, tables.unique_totals, totals);
  return totals;
}

std::string_view tenant_of(std::string_view key) { return key.substr(0, key.find(' ')); }

void Worth::add(const Counted& record) {
  const std::string& tenant = record.message->tenant;
  const TenantFacts& facts = tenants_.of(tenant, record.catalogue);
  for (const Reading& reading : record.message->readings) {
    const Period window = facts.window_of(record.time_us / 1'000'000, reading.window);
    add_to(total_key(tenant, "window", reading.meter, window.start, reading.dimensions), record,
           reading, {window.start, window.end, 0});
    const bool adds_up = reading.aggregation == Aggregation::kSum ||
                         reading.aggregation == Aggregation::kCount ||
                         reading.aggregation == Aggregation::kUniqueCount;
    const std::string_view dimensions = adds_up ? kMerged : std::string_view(reading.dimensions);
    // A span holds the windows that start in it.
    const LocalDay day = facts.days->day_of(window.start);
    add_to(total_key(tenant, "day", reading.meter, day.start, dimensions), record, reading, day);
    const LocalDay month = facts.days->month_of(window.start);
    add_to(total_key(tenant, "month", reading.meter, month.start, dimensions), record, reading,
           month);
    for (auto opened = tables_.opened.lower_bound({tenant, 0});
         opened != tables_.opened.end() && opened->first.first == tenant; ++opened) {
      const Period period{opened->first.second, opened->second};
      if (window.start < period.start || window.start >= period.end) continue;
      // Its first date is that of the zone which its catalogue gave the tenant.
      LocalDay place{period.start, period.end, 0};
      for (std::size_t catalogue = 0; catalogue <= tables_.catalogue; ++catalogue) {
        const TenantFacts& then = tenants_.of(tenant, catalogue);
        for (const Period& known : then.periods) {
          if (known.start == period.start && known.end == period.end)
            place.date = then.days->day_of(period.start).date;
        }
      }
      add_to(total_key(tenant, "period", reading.meter, period.start, dimensions), record, reading,
             place);
    }
  }
}

void Worth::add_to(const std::string& key, const Counted& record, const Reading& reading,
                   const LocalDay& place) {
  const auto [found, fresh] = rows_.try_emplace(key);
  Row& row = found->second;
  row.aggregation = reading.aggregation;
  if (fresh || record.commit < row.commit) {
    row.commit = record.commit;
    row.end = place.end;
    row.date = place.date;
  }
  ++row.events;
  switch (reading.aggregation) {
    case Aggregation::kSum:
    case Aggregation::kCount:
      row.value = row.value.checked_add(reading.value).value();
      return;
    case Aggregation::kUniqueCount:
      row.members.insert(reading.member);
      return;
    case Aggregation::kLatest:
    case Aggregation::kMax:
    case Aggregation::kMin:
      if (fresh ||
          replaces(reading.aggregation, reading.value, record.time_us, row.value, row.time_us)) {
        row.value = reading.value;
        row.time_us = record.time_us;
      }
      return;
  }
}

Totals Worth::text() const {
  Totals totals;
  for (const auto& [key, row] : rows_) {
    std::string value;
    switch (row.aggregation) {
      case Aggregation::kSum:
      case Aggregation::kCount:
        value = fmt::format("{} of {}", row.value.to_string(), row.events);
        break;
      case Aggregation::kUniqueCount:
        value = fmt::format("{} different of {}", row.members.size(), row.events);
        break;
      case Aggregation::kLatest:
      case Aggregation::kMax:
      case Aggregation::kMin:
        value = fmt::format("{} at {} of {}", row.value.to_string(), row.time_us, row.events);
        break;
    }
    totals[key] = value + ' ' + place_text({0, row.end, row.date});
  }
  return totals;
}

}  // namespace tally::simulation
