#include "aggregator/commit_uniques.h"

#include "aggregator/window_columns.h"
#include "core/check.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using runtime::postgres::ArrayText;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Rows of unique_set as one statement takes them, each with the values that it may gain.
struct Sets {
  ArrayText tenant, meter, span, start, end, dimensions, first_date, events;
  std::vector<const UniqueSet*> values;
};

Sets sets_of_windows(const PlanRows& rows, const MeterSet& meters) {
  Sets sets;
  WindowColumns columns;
  for (const auto* row : rows.uniques) {
    columns.add(meters, row->first);
    sets.span.add(std::string_view("window"));
    sets.first_date.add(std::int64_t{local_date_of(rows.plan, row->first)});
    sets.events.add(row->second.events);
    sets.values.push_back(&row->second);
  }
  sets.tenant = std::move(columns.tenant);
  sets.meter = std::move(columns.meter);
  sets.start = std::move(columns.start);
  sets.end = std::move(columns.end);
  sets.dimensions = std::move(columns.dimensions);
  return sets;
}

Sets sets_of_spans(const SpanRows<UniqueSet>& spans, const MeterSet& meters) {
  Sets sets;
  SpanColumns columns;
  for (const auto& [key, set] : spans) {
    columns.add(meters, key);
    sets.events.add(set.events);
    sets.values.push_back(&set);
  }
  sets.tenant = std::move(columns.tenant);
  sets.meter = std::move(columns.meter);
  sets.span = std::move(columns.span);
  sets.start = std::move(columns.start);
  sets.end = std::move(columns.end);
  sets.dimensions = std::move(columns.dimensions);
  sets.first_date = std::move(columns.first_date);
  return sets;
}

// The ids of the sets, in the order given; their rows are locked after it.
std::vector<std::int64_t> lock_sets(Sets& sets, Transaction& transaction) {
  const runtime::postgres::Params keys = {
      sets.tenant.take(),     sets.meter.take(), sets.span.take(),       sets.start.take(),
      sets.dimensions.take(), sets.end.take(),   sets.first_date.take(), sets.events.take()};
  // The rows go in as they are ordered in `x`, and so they are locked in key order.
  const Rows rows = transaction.exec(
      "WITH x AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], "
      "$5::text[], $6::timestamptz[], $7::integer[], $8::bigint[]) WITH ORDINALITY "
      "AS x(t, m, s, b, k, e, d, n, place)), "
      "locked AS (INSERT INTO tally.unique_set AS u (tenant, meter, span, span_start, dimensions, "
      "span_end, first_date, members, events) "
      "SELECT t, m, s, b, k, e, DATE '1970-01-01' + d, 0, n FROM x ORDER BY place "
      "ON CONFLICT (tenant, meter, span, span_start, dimensions) DO UPDATE "
      "SET events = u.events + excluded.events "
      "RETURNING u.tenant, u.meter, u.span, u.span_start, u.dimensions, u.set_id) "
      "SELECT l.set_id FROM locked l JOIN x ON l.tenant = x.t AND l.meter = x.m AND l.span = x.s "
      "AND l.span_start = x.b AND l.dimensions = x.k ORDER BY x.place",
      keys);
  TALLY_CHECK(rows.size() == sets.values.size(), "{} sets, {} ids", sets.values.size(),
              rows.size());
  std::vector<std::int64_t> ids;
  ids.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) ids.push_back(rows.int64(i, 0));
  return ids;
}

void add_members(const Sets& sets, const std::vector<std::int64_t>& ids, Transaction& transaction) {
  ArrayText id, hi, lo;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (const core::UniqueValue& value : sets.values[i]->values) {
      id.add(ids[i]);
      hi.add(std::bit_cast<std::int64_t>(value.hi));
      lo.add(std::bit_cast<std::int64_t>(value.lo));
    }
  }
  transaction.exec(
      "WITH added AS (INSERT INTO tally.unique_member "
      "SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]) "
      "ON CONFLICT DO NOTHING RETURNING set_id) "
      "UPDATE tally.unique_set u SET members = u.members + n.members "
      "FROM (SELECT set_id, count(*) AS members FROM added GROUP BY set_id) n "
      "WHERE u.set_id = n.set_id",
      {id.take(), hi.take(), lo.take()});
}

void write_sets(Sets sets, Transaction& transaction) {
  if (sets.values.empty()) return;
  const std::vector<std::int64_t> ids = lock_sets(sets, transaction);
  add_members(sets, ids, transaction);
}

}  // namespace

void write_uniques(const PlanRows& rows, const SpanTotals& spans, const MeterSet& meters,
                   Transaction& transaction) {
  write_sets(sets_of_windows(rows, meters), transaction);
  write_sets(sets_of_spans(spans.uniques, meters), transaction);
}

}  // namespace tally::aggregator
