#include "aggregator/commit_windows.h"

#include "core/timestamp.h"
#include "core/window.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::bytes_text;
using runtime::postgres::Transaction;

// Big-endian, so that Postgres' bytea order is DedupEntry's own order.
std::string tiebreak_bytes(const core::DedupEntry& entry) {
  std::string bytes;
  for (const std::uint64_t half : {entry.hi, entry.lo}) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(half >> shift);
  }
  return bytes;
}

template <class Value>
std::vector<const std::pair<const WindowKey, Value>*> sorted(const WindowMap<Value>& windows) {
  std::vector<const std::pair<const WindowKey, Value>*> rows;
  rows.reserve(windows.size());
  for (const auto& row : windows) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const auto* a, const auto* b) { return a->first.view() < b->first.view(); });
  return rows;
}

struct WindowColumns {
  ArrayText tenant, meter, start, end, dimensions;

  void add(const MeterSet& meters, const WindowKey& key) {
    const core::Meter& definition = meters.meters()[key.meter];
    tenant.add(key.tenant);
    meter.add(definition.slug);
    start.add(core::to_rfc3339(Timestamp::from_seconds(key.start_seconds)));
    end.add(core::to_rfc3339(
        Timestamp::from_seconds(key.start_seconds + core::seconds_of(definition.window))));
    dimensions.add(key.dimensions);
  }
};

void write_usage(const TotalsPlan& plan, const MeterSet& meters, Transaction& transaction) {
  if (plan.usage.empty()) return;
  WindowColumns columns;
  ArrayText quantity, events;
  for (const auto* row : sorted(plan.usage)) {
    columns.add(meters, row->first);
    quantity.add(row->second.quantity.to_string());
    events.add(row->second.events);
  }
  transaction.exec(
      "INSERT INTO tally.usage_window AS w (tenant, meter, window_start, window_end, dimensions, "
      "quantity, events) "
      "SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], "
      "$5::text[], $6::numeric[], "
      "$7::bigint[]) ON CONFLICT (tenant, meter, window_start, dimensions) DO UPDATE "
      "SET quantity = w.quantity + excluded.quantity, events = w.events + excluded.events",
      {columns.tenant.take(), columns.meter.take(), columns.start.take(), columns.end.take(),
       columns.dimensions.take(), quantity.take(), events.take()});
}

void write_gauges(const TotalsPlan& plan, const MeterSet& meters, Transaction& transaction) {
  if (plan.gauges.empty()) return;
  WindowColumns columns;
  ArrayText reading, read_at, tiebreak, events;
  for (const auto* row : sorted(plan.gauges)) {
    const core::GaugeReading& gauge = row->second;
    columns.add(meters, row->first);
    reading.add(gauge.reading.to_string());
    read_at.add(core::to_rfc3339(gauge.read_at));
    tiebreak.add(bytes_text(tiebreak_bytes(gauge.tiebreak)));
    events.add(gauge.events);
  }
  transaction.exec(
      "INSERT INTO tally.gauge_window AS w "
      "(tenant, meter, window_start, window_end, dimensions, reading, read_at, tiebreak, events) "
      "SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], "
      "$5::text[], $6::numeric[], "
      "$7::timestamptz[], $8::bytea[], $9::bigint[]) ON CONFLICT (tenant, meter, window_start, "
      "dimensions) DO UPDATE "
      "SET reading = CASE WHEN (excluded.read_at, excluded.tiebreak) > (w.read_at, w.tiebreak) "
      "THEN excluded.reading ELSE w.reading END, "
      "read_at = greatest(w.read_at, excluded.read_at), "
      "tiebreak = CASE WHEN (excluded.read_at, excluded.tiebreak) > (w.read_at, w.tiebreak) "
      "THEN excluded.tiebreak ELSE w.tiebreak END, "
      "events = w.events + excluded.events",
      {columns.tenant.take(), columns.meter.take(), columns.start.take(), columns.end.take(),
       columns.dimensions.take(), reading.take(), read_at.take(), tiebreak.take(), events.take()});
}

}  // namespace

void write_windows(const TotalsPlan& plan, const MeterSet& meters, Transaction& transaction) {
  write_usage(plan, meters, transaction);
  write_gauges(plan, meters, transaction);
}

}  // namespace tally::aggregator
