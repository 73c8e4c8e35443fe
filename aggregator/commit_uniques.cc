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
  SpanColumns columns;
  ArrayText dimensions, events;
  std::vector<const UniqueSet*> values;

  void add(const UniqueSet& set, std::string_view its_dimensions) {
    dimensions.add(its_dimensions);
    events.add(set.events);
    values.push_back(&set);
  }
};

Sets sets_of_windows(const PlanRows& rows, const MeterSet& meters) {
  Sets sets;
  for (const auto* row : rows.uniques) {
    const auto& [key, set] = *row;
    SpanKey place;
    place.tenant = key.tenant();
    place.meter = key.meter;
    place.start_seconds = key.start_seconds;
    place.end_seconds = key.end_seconds();
    place.first_date = local_date_of(rows.plan, key);
    sets.columns.add(meters, place, "window");
    sets.add(set, key.dimensions());
  }
  return sets;
}

Sets sets_of_spans(const SpanRows<UniqueSet>& spans, const MeterSet& meters) {
  Sets sets;
  for (const auto& [key, set] : spans) {
    sets.columns.add(meters, key);
    sets.add(set, key.dimensions);
  }
  return sets;
}

// The ids of the sets, in the order given; their rows are locked after it.
std::vector<std::int64_t> lock_sets(Sets& sets, Transaction& transaction) {
  runtime::postgres::Params params = sets.columns.take();
  params.emplace_back(sets.dimensions.take());
  params.emplace_back(sets.events.take());
  // The rows go in as they are ordered in `x`, and so they are locked in key order.
  const std::string sql =
      std::string("WITH x(t, m, s, b, e, d, k, n, place) AS (SELECT ")
          .append(SpanColumns::kSelected)
          .append(
              ", unnest($8::text[]), unnest($9::bigint[]), generate_subscripts($1::text[], 1)), "
              "locked AS (INSERT INTO tally.unique_set AS u (tenant, meter, span, span_start, "
              "dimensions, span_end, first_date, members, events) "
              "SELECT t, m, s, b, k, e, d, 0, n FROM x ORDER BY place "
              "ON CONFLICT (tenant, meter, span, span_start, dimensions) DO UPDATE "
              "SET events = u.events + excluded.events "
              "RETURNING u.tenant, u.meter, u.span, u.span_start, u.dimensions, u.set_id) "
              "SELECT l.set_id FROM locked l JOIN x ON l.tenant = x.t AND l.meter = x.m "
              "AND l.span = x.s AND l.span_start = x.b AND l.dimensions = x.k ORDER BY x.place");
  const Rows rows = transaction.exec(sql, params);
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
