#include "admin/verify.h"

#include "admin/table.h"

#include <fmt/format.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace tally::admin {
namespace {

using runtime::postgres::Connection;
using runtime::postgres::Isolation;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Per partition: what the offsets say, what the ledger says, what the other tables say.
constexpr const char* kPartitionsSql = R"(
WITH memory AS (SELECT partition, log_day, entry_count FROM tally.dedup_segment
                UNION ALL SELECT partition, log_day, entry_count FROM tally.dedup_rollup)
SELECT p.partition, p.next_offset - p.base_offset,
       coalesce(l.consumed, 0), coalesce(l.received, 0), coalesce(l.skipped, 0),
       coalesce(l.lost, 0), coalesce(l.classes, 0), coalesce(l.counted, 0),
       coalesce(l.remembered_days, 0), coalesce(s.entries, 0), coalesce(r.lost, 0)
  FROM tally.partition_state p
  LEFT JOIN (SELECT partition, sum(consumed)::bigint AS consumed, sum(received)::bigint AS received,
                    sum(skipped)::bigint AS skipped, sum(lost)::bigint AS lost,
                    sum(handed_off + rejected + unmetered + filtered + duplicate + conflict + late
                        + counted + readmitted)::bigint AS classes,
                    sum(counted + readmitted)::bigint AS counted,
                    coalesce(sum(counted + readmitted) FILTER (WHERE log_day >= (
                      SELECT min(d.log_day) FROM memory d
                       WHERE d.partition = o.partition)), 0)::bigint AS remembered_days
               FROM tally.ledger o GROUP BY partition) l USING (partition)
  LEFT JOIN (SELECT partition, sum(entry_count)::bigint AS entries
               FROM memory GROUP BY partition) s USING (partition)
  LEFT JOIN (SELECT partition, sum(last_offset - first_offset + 1)::bigint AS lost
               FROM tally.lost_range GROUP BY partition) r USING (partition)
 ORDER BY p.partition)";

// A record counts when at least one meter takes it, and each meter that does adds one event.
constexpr const char* kWindowsSql = R"(
SELECT (SELECT coalesce(sum(events), 0) FROM tally.usage_window)::bigint
       + (SELECT coalesce(sum(events), 0) FROM tally.gauge_window)::bigint
       + (SELECT coalesce(sum(events), 0) FROM tally.unique_set WHERE span = 'window')::bigint,
       (SELECT coalesce(sum(counted + readmitted), 0) FROM tally.ledger)::bigint,
       (SELECT coalesce(sum(verdicts), 0)::bigint FROM tally.reject WHERE class <> 'meter'),
       (SELECT coalesce(sum(rejected + conflict + late), 0) FROM tally.ledger)::bigint,
       (SELECT coalesce(sum(rows), 0) FROM tally.reject_overflow)::bigint,
       h.handed_off::bigint, h.readmissions, h.received::bigint, h.waiting::bigint
  FROM finance.handoff_balance h)";

// Each names how many rows break a rule. Windows belong to the period that holds their start; days
// and months are compared as a whole, since a changed time zone leaves the old ones as they are.
struct TotalsRule {
  const char* rule;
  const char* sql;
};
constexpr TotalsRule kTotalsRules[] = {
    {"tenants' meters whose days or months are not the sum of their windows", R"(
SELECT count(*) FROM (
  SELECT tenant, meter, sum(quantity) AS quantity, sum(events) AS events
    FROM tally.usage_window GROUP BY tenant, meter) w
  FULL JOIN (SELECT tenant, meter,
                    sum(quantity) FILTER (WHERE span = 'day') AS day_quantity,
                    sum(events) FILTER (WHERE span = 'day') AS day_events,
                    sum(quantity) FILTER (WHERE span = 'month') AS month_quantity,
                    sum(events) FILTER (WHERE span = 'month') AS month_events
               FROM tally.usage_total WHERE span IN ('day', 'month') GROUP BY tenant, meter) t
  USING (tenant, meter)
 WHERE (w.quantity, w.events) IS DISTINCT FROM (t.day_quantity, t.day_events)
    OR (w.quantity, w.events) IS DISTINCT FROM (t.month_quantity, t.month_events))"},
    {"billing periods that are not the sum of the windows that start in them", R"(
SELECT count(*) FROM tally.usage_total t
 CROSS JOIN LATERAL (
       SELECT sum(w.quantity) AS quantity, sum(w.events) AS events FROM tally.usage_window w
        WHERE w.tenant = t.tenant AND w.meter = t.meter AND w.window_start >= t.span_start
          AND w.window_start < t.span_end) w
 WHERE t.span = 'period' AND (t.quantity, t.events) IS DISTINCT FROM (w.quantity, w.events))"},
    {"totals of billing periods that are not open as they stand there", R"(
SELECT count(*) FROM (
  SELECT tenant, span, span_start, span_end FROM tally.usage_total
  UNION ALL SELECT tenant, span, span_start, span_end FROM tally.gauge_total
  UNION ALL SELECT tenant, span, span_start, span_end FROM tally.unique_set) t
 WHERE t.span = 'period' AND NOT EXISTS (
       SELECT FROM tally.period_opened o WHERE o.tenant = t.tenant AND o.period_start = t.span_start
          AND o.period_end = t.span_end))"},
    {"tenants' gauges whose days or months do not have the events of their windows", R"(
SELECT count(*) FROM (
  SELECT tenant, meter, dimensions, sum(events) AS events
    FROM tally.gauge_window GROUP BY tenant, meter, dimensions) w
  FULL JOIN (SELECT tenant, meter, dimensions,
                    sum(events) FILTER (WHERE span = 'day') AS day_events,
                    sum(events) FILTER (WHERE span = 'month') AS month_events
               FROM tally.gauge_total WHERE span IN ('day', 'month')
              GROUP BY tenant, meter, dimensions) t USING (tenant, meter, dimensions)
 WHERE w.events IS DISTINCT FROM t.day_events OR w.events IS DISTINCT FROM t.month_events)"},
    {"unique counts that are not the number of their members", R"(
SELECT count(*) FROM tally.unique_set u
  FULL JOIN (SELECT set_id, count(*) AS members FROM tally.unique_member GROUP BY set_id) m
    USING (set_id)
 WHERE u.members IS DISTINCT FROM coalesce(m.members, 0))"},
    {"unique meters whose days or months do not have the events of their windows", R"(
SELECT count(*) FROM (
  SELECT sum(events) FILTER (WHERE span = 'window') AS window_events,
         sum(events) FILTER (WHERE span = 'day') AS day_events,
         sum(events) FILTER (WHERE span = 'month') AS month_events
    FROM tally.unique_set GROUP BY tenant, meter) t
 WHERE window_events IS DISTINCT FROM day_events OR window_events IS DISTINCT FROM month_events)"},
    {"events in the overflow of dimensions that its count does not show", R"(
SELECT abs((SELECT coalesce(sum(overflow_events), 0) FROM tally.dimension_month)
  - (SELECT coalesce(sum(events), 0) FROM tally.usage_window WHERE dimensions = '{"*":"overflow"}')
  - (SELECT coalesce(sum(events), 0) FROM tally.gauge_window WHERE dimensions = '{"*":"overflow"}')
  - (SELECT coalesce(sum(events), 0) FROM tally.unique_set
      WHERE span = 'window' AND dimensions = '{"*":"overflow"}'))::bigint)"},
};

class Book {
 public:
  void check(const std::string& place, const std::string& rule, std::int64_t left,
             std::string_view relation, std::int64_t right) {
    const bool holds = relation == "=" ? left == right : left >= right;
    if (!holds) ++off_;
    lines_.push_back({place, rule, std::to_string(left), std::string(relation),
                      std::to_string(right), holds ? "ok" : "OFF"});
  }
  void print(std::ostream& out) const {
    print_table(out,
                {{"where"},
                 {"what must hold"},
                 {"left", Align::kRight},
                 {""},
                 {"right", Align::kRight},
                 {""}},
                lines_);
  }
  [[nodiscard]] std::size_t off() const { return off_; }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }

 private:
  std::vector<std::vector<std::string>> lines_;
  std::size_t off_ = 0;
};

void check_partitions(Transaction& snapshot, Book& book) {
  const Rows rows = snapshot.exec(kPartitionsSql);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string place = fmt::format("partition {}", rows.int64(i, 0));
    const auto value = [&](std::size_t column) { return rows.int64(i, column); };
    book.check(place, "next - first offset = consumed + skipped + lost", value(1), "=",
               value(2) + value(4) + value(5));
    book.check(place, "consumed + received = sum of the classes", value(2) + value(3), "=",
               value(6));
    book.check(place, "dedup entries >= counted + readmitted, on days still remembered", value(9),
               ">=", value(8));
    book.check(place, "lost = offsets in the lost ranges", value(5), "=", value(10));
  }
}

void check_windows(Transaction& snapshot, Book& book) {
  const Rows rows = snapshot.exec(kWindowsSql);
  book.check("all", "handed off + replays = received + waiting",
             rows.int64(0, 5) + rows.int64(0, 6), "=", rows.int64(0, 7) + rows.int64(0, 8));
  book.check("all", "events in the windows >= counted + readmitted", rows.int64(0, 0),
             ">=", rows.int64(0, 1));
  // Rows of single meters overflow too, so past a budget only the lower bound can be told.
  book.check("all", "kept rejects + overflow >= rejected + conflict + late",
             rows.int64(0, 2) + rows.int64(0, 4), ">=", rows.int64(0, 3));
  if (rows.int64(0, 4) == 0) {
    book.check("all", "kept rejects = rejected + conflict + late", rows.int64(0, 2), "=",
               rows.int64(0, 3));
  }
}

void check_totals(Transaction& snapshot, Book& book) {
  for (const TotalsRule& rule : kTotalsRules) {
    book.check("all", rule.rule, snapshot.exec(rule.sql).int64(0, 0), "=", 0);
  }
}

}  // namespace

Verdict verify(Connection& connection, std::ostream& out) {
  Book book;
  {
    Transaction snapshot = connection.begin(Isolation::kRepeatableRead);
    check_partitions(snapshot, book);
    check_windows(snapshot, book);
    check_totals(snapshot, book);
  }
  book.print(out);
  if (book.off() > 0) {
    out << fmt::format("{} of {} lines are OFF: the books do not balance.\n", book.off(),
                       book.size());
    return Verdict::kOff;
  }
  out << fmt::format("All {} lines hold: the books balance.\n", book.size());
  return Verdict::kBalanced;
}

}  // namespace tally::admin
