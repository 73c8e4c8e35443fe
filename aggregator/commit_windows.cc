#include "aggregator/commit_windows.h"

#include "aggregator/commit_uniques.h"
#include "aggregator/span_totals.h"
#include "aggregator/window_columns.h"

#include <algorithm>
#include <cstddef>
#include <future>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

namespace {

using runtime::postgres::ArrayText;
using runtime::postgres::bytes_text;
using runtime::postgres::Params;
using runtime::postgres::Transaction;

// Big-endian, so that Postgres' bytea order is DedupEntry's own order.
std::string tiebreak_bytes(const core::DedupEntry& entry) {
  std::string bytes;
  for (const std::uint64_t half : {entry.hi, entry.lo}) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(half >> shift);
  }
  return bytes;
}

constexpr std::size_t kRowsPerStatement = 20'000;

// A plan of any size goes in statements of so many rows. While Postgres executes one, the text of
// the next is made: otherwise the transaction would stand idle meanwhile, which Postgres bears for
// some seconds only.
template <class Row, class TextOf>
void write_in_parts(const std::string& sql, const std::vector<Row>& rows, Transaction& transaction,
                    const TextOf& text_of) {
  std::span<const Row> left = rows;
  const auto next_text = [&] {
    const auto part = left.first(std::min(left.size(), kRowsPerStatement));
    left = left.subspan(part.size());
    return text_of(part);
  };
  if (left.empty()) return;
  Params text = next_text();
  while (!left.empty()) {
    // Where no thread is to be had, it is made when it is asked for.
    auto next = std::async(std::launch::async | std::launch::deferred, next_text);
    transaction.exec(sql, text);
    text = next.get();
  }
  transaction.exec(sql, text);
}

// Here and below unnest() stands in the list of what is selected: in FROM each column would be put
// into a tuple store of its own, and joined from there.
std::string add_usage() {
  return std::string(
             "INSERT INTO tally.usage_window AS w (tenant, meter, window_start, window_end, "
             "dimensions, quantity, events) SELECT ")
      .append(WindowColumns::kSelected)
      .append(
          ", unnest($7::numeric[]), unnest($8::bigint[]) "
          "ON CONFLICT (tenant, meter, window_start, dimensions) DO UPDATE "
          "SET quantity = w.quantity + excluded.quantity, events = w.events + excluded.events");
}

template <class... Columns>
Params together(Params keys, Columns&... columns) {
  (keys.emplace_back(columns.take()), ...);
  return keys;
}

Params text_of(std::span<const WindowRow<core::UsageDelta>* const> windows,
               const MeterSet& meters) {
  WindowColumns columns;
  ArrayText quantity, events;
  for (const auto* row : windows) {
    columns.add(meters, row->first);
    quantity.add(row->second.quantity.to_string());
    events.add(row->second.events);
  }
  return together(columns.take(), quantity, events);
}

struct ReadingColumns {
  ArrayText reading, read_at, tiebreak, events;

  template <class Reading>
  void add(const Reading& value) {
    reading.add(value.reading.to_string());
    read_at.add(core::to_rfc3339(value.read_at));
    tiebreak.add(bytes_text(tiebreak_bytes(value.tiebreak)));
    events.add(value.events);
  }
};

// When the new reading beats the stored one: the same orders as in core/gauge_reading.h and
// core/extreme_reading.h.
constexpr std::string_view kBeatsLatest =
    "(excluded.read_at, excluded.tiebreak) > (w.read_at, w.tiebreak)";
constexpr std::string_view kBeatsMax =
    "(excluded.reading, excluded.read_at, excluded.tiebreak) > (w.reading, w.read_at, w.tiebreak)";
constexpr std::string_view kBeatsMin =
    "(-excluded.reading, excluded.read_at, excluded.tiebreak) > (-w.reading, w.read_at, "
    "w.tiebreak)";

std::string merge_readings(std::string_view beats) {
  std::string sql = " DO UPDATE SET ";
  for (const char* column : {"reading", "read_at", "tiebreak"}) {
    sql.append(column).append(" = CASE WHEN ").append(beats).append(" THEN excluded.");
    sql.append(column).append(" ELSE w.").append(column).append(" END, ");
  }
  return sql + "events = w.events + excluded.events";
}

std::string keep_readings(std::string_view beats) {
  return std::string(
             "INSERT INTO tally.gauge_window AS w (tenant, meter, window_start, window_end, "
             "dimensions, reading, read_at, tiebreak, events) SELECT ")
      .append(WindowColumns::kSelected)
      .append(
          ", unnest($7::numeric[]), unnest($8::timestamptz[]), unnest($9::bytea[]), "
          "unnest($10::bigint[]) ON CONFLICT (tenant, meter, window_start, dimensions)")
      .append(merge_readings(beats));
}

template <class Reading>
Params text_of(std::span<const WindowRow<Reading>* const> windows, const MeterSet& meters) {
  WindowColumns columns;
  ReadingColumns readings;
  for (const auto* row : windows) {
    columns.add(meters, row->first);
    readings.add(row->second);
  }
  return together(columns.take(), readings.reading, readings.read_at, readings.tiebreak,
                  readings.events);
}

std::string add_usage_totals() {
  return std::string(
             "INSERT INTO tally.usage_total AS w (tenant, meter, span, span_start, span_end, "
             "first_date, quantity, events) SELECT ")
      .append(SpanColumns::kSelected)
      .append(
          ", unnest($8::numeric[]), unnest($9::bigint[]) "
          "ON CONFLICT (tenant, meter, span, span_start) DO UPDATE "
          "SET quantity = w.quantity + excluded.quantity, events = w.events + excluded.events");
}

Params text_of(std::span<const SpanRow<core::UsageDelta>> spans, const MeterSet& meters) {
  SpanColumns columns;
  ArrayText quantity, events;
  for (const auto& [key, delta] : spans) {
    columns.add(meters, key);
    quantity.add(delta.quantity.to_string());
    events.add(delta.events);
  }
  return together(columns.take(), quantity, events);
}

std::string keep_gauge_totals(std::string_view beats) {
  return std::string(
             "INSERT INTO tally.gauge_total AS w (tenant, meter, span, span_start, span_end, "
             "first_date, dimensions, reading, read_at, tiebreak, events) SELECT ")
      .append(SpanColumns::kSelected)
      .append(
          ", unnest($8::text[]), unnest($9::numeric[]), unnest($10::timestamptz[]), "
          "unnest($11::bytea[]), unnest($12::bigint[]) "
          "ON CONFLICT (tenant, meter, span, span_start, dimensions)")
      .append(merge_readings(beats));
}

template <class Reading>
Params text_of(std::span<const SpanRow<Reading>> spans, const MeterSet& meters) {
  SpanColumns columns;
  ArrayText dimensions;
  ReadingColumns readings;
  for (const auto& [key, reading] : spans) {
    columns.add(meters, key);
    dimensions.add(key.dimensions);
    readings.add(reading);
  }
  return together(columns.take(), dimensions, readings.reading, readings.read_at, readings.tiebreak,
                  readings.events);
}

}  // namespace

void write_windows(const TotalsPlan& folded, const MeterSet& meters, DimensionGuard& guard,
                   Transaction& transaction) {
  const auto changed = guard.admit(folded, meters, transaction);
  const PlanRows rows(changed ? *changed : folded);
  const SpanTotals spans = span_totals(rows);
  const auto write = [&](const std::string& sql, const auto& all) {
    write_in_parts(sql, all, transaction, [&](auto part) { return text_of(part, meters); });
  };
  write(add_usage(), rows.usage);
  write(keep_readings(kBeatsLatest), rows.gauges);
  write(keep_readings(kBeatsMax), rows.maxima);
  write(keep_readings(kBeatsMin), rows.minima);
  write_uniques(rows, spans, meters, transaction);
  write(add_usage_totals(), spans.usage);
  write(keep_gauge_totals(kBeatsLatest), spans.gauges);
  write(keep_gauge_totals(kBeatsMax), spans.maxima);
  write(keep_gauge_totals(kBeatsMin), spans.minima);
}

}  // namespace tally::aggregator
