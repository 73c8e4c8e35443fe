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

// Each meter that takes a record adds one event to a window. Where no two meters read one event
// type (meters are never removed), a counted record is exactly one event.
constexpr const char* kWindowsSql = R"(
WITH seen AS (
  SELECT meter, sum(events) AS events,
         sum(events) FILTER (WHERE dimensions = '{"*":"overflow"}') AS overflow,
         count(*) FILTER (WHERE quantity <> events) AS uneven
    FROM tally.usage_window GROUP BY meter
  UNION ALL
  SELECT meter, sum(events), sum(events) FILTER (WHERE dimensions = '{"*":"overflow"}'), 0
    FROM tally.gauge_window GROUP BY meter
  UNION ALL
  SELECT meter, sum(events), sum(events) FILTER (WHERE dimensions = '{"*":"overflow"}'), 0
    FROM tally.unique_set WHERE span = 'window' GROUP BY meter)
SELECT (SELECT coalesce(sum(events), 0) FROM seen)::bigint,
       (SELECT coalesce(sum(counted + readmitted), 0) FROM tally.ledger)::bigint,
       EXISTS (SELECT FROM tally.meter GROUP BY event_type HAVING count(*) > 1),
       (SELECT count(*) FROM (SELECT meter, sum(events) AS events FROM seen GROUP BY meter) w
          FULL JOIN (SELECT meter, sum(events) AS events FROM tally.meter_ledger GROUP BY meter) l
         USING (meter) WHERE w.events IS DISTINCT FROM l.events),
       (SELECT coalesce(sum(s.uneven), 0) FROM seen s JOIN tally.meter m ON m.slug = s.meter
         WHERE m.aggregation = 'count')::bigint,
       (SELECT coalesce(sum(overflow), 0) FROM seen)::bigint,
       (SELECT coalesce(sum(overflow_events), 0) FROM tally.dimension_month)::bigint)";

constexpr const char* kRecordsSql = R"(
SELECT (SELECT coalesce(sum(verdicts), 0)::bigint FROM tally.reject WHERE class <> 'meter'),
       (SELECT coalesce(sum(rejected + conflict + late), 0) FROM tally.ledger)::bigint,
       (SELECT coalesce(sum(rows), 0) FROM tally.reject_overflow)::bigint,
       h.handed_off::bigint, h.readmissions, h.received::bigint, h.waiting::bigint
  FROM finance.handoff_balance h)";

// A window belongs to the spans that hold its start, whatever dimensions it has. Days and months of
// one meter may overlap after its tenant's zone changed: then those that do are one stretch, and
// compared with the windows in it together. A window that no span holds is a stretch of its own,
// without spans; windows are listed under 'period' where a period is open. Reads the rows `entry`
// (tenant, meter, key, span, at, until, …), windows with until = NULL, and numbers the stretches.
constexpr std::string_view kStretches = R"(
, reached AS (
  SELECT *, max(until) OVER (PARTITION BY tenant, meter, key, span ORDER BY at, until
                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach FROM entry)
, placed AS (
  SELECT *, count(*) FILTER (WHERE reach IS NULL OR at >= reach)
              OVER (ORDER BY tenant, meter, key, span, at, until
                    ROWS UNBOUNDED PRECEDING) AS stretch FROM reached))";

// The windows `w` once for each span that must hold them; {0}: their further columns.
constexpr std::string_view kWindowsInSpans = R"(
  SELECT w.tenant, w.meter, w.key, s.span, w.at, NULL::timestamptz, {0}
    FROM w CROSS JOIN (VALUES ('day'), ('month')) s (span)
  UNION ALL
  SELECT w.tenant, w.meter, w.key, 'period', w.at, NULL, {0}
    FROM w WHERE EXISTS (SELECT FROM tally.period_opened p WHERE p.tenant = w.tenant
                            AND w.at >= p.period_start AND w.at < p.period_end))";

std::string counters_sql() {
  return fmt::format(R"(
WITH w AS MATERIALIZED (
  SELECT tenant, meter, '' AS key, window_start AS at,
         sum(quantity) AS quantity, sum(events) AS events
    FROM tally.usage_window GROUP BY tenant, meter, window_start)
, entry AS (
  SELECT tenant, meter, '' AS key, span, span_start AS at, span_end AS until, quantity, events
    FROM tally.usage_total
  UNION ALL {})
{}
SELECT count(*) FROM (
  SELECT FROM placed GROUP BY stretch
  HAVING (sum(quantity) FILTER (WHERE until IS NULL), sum(events) FILTER (WHERE until IS NULL))
         IS DISTINCT FROM
         (sum(quantity) FILTER (WHERE until IS NOT NULL),
          sum(events) FILTER (WHERE until IS NOT NULL))) t)",
                     fmt::format(kWindowsInSpans, "w.quantity, w.events"), kStretches);
}

// The reading of a stretch is the best of its windows, as aggregator/commit_windows.cc orders them.
std::string gauges_sql() {
  return fmt::format(R"(
WITH w AS (
  SELECT tenant, meter, dimensions AS key, window_start AS at, reading, read_at, tiebreak, events
    FROM tally.gauge_window)
, entry AS (
  SELECT tenant, meter, dimensions AS key, span, span_start AS at, span_end AS until,
         reading, read_at, tiebreak, events FROM tally.gauge_total
  UNION ALL {})
{}
, best AS (
  SELECT DISTINCT ON (p.stretch, p.until IS NULL)
         p.stretch, p.until IS NULL AS of_windows, p.reading, p.read_at, p.tiebreak,
         sum(p.events) OVER (PARTITION BY p.stretch, p.until IS NULL) AS events
    FROM placed p LEFT JOIN tally.meter m ON m.slug = p.meter
   ORDER BY p.stretch, p.until IS NULL,
            CASE m.aggregation WHEN 'max' THEN p.reading WHEN 'min' THEN -p.reading END
              DESC NULLS LAST,
            p.read_at DESC, p.tiebreak DESC)
SELECT count(*) FROM (SELECT * FROM best WHERE of_windows) w
  FULL JOIN (SELECT * FROM best WHERE NOT of_windows) s USING (stretch)
 WHERE (w.reading, w.read_at, w.tiebreak, w.events)
       IS DISTINCT FROM (s.reading, s.read_at, s.tiebreak, s.events))",
                     fmt::format(kWindowsInSpans, "w.reading, w.read_at, w.tiebreak, w.events"),
                     kStretches);
}

// The sets of days, months and periods hold what the sets of their windows hold, no more, no less.
std::string uniques_sql() {
  return fmt::format(R"(
WITH w AS (
  SELECT tenant, meter, '' AS key, span_start AS at, set_id, events
    FROM tally.unique_set WHERE span = 'window')
, entry AS (
  SELECT tenant, meter, '' AS key, span, span_start AS at, span_end AS until, set_id, events
    FROM tally.unique_set WHERE span <> 'window'
  UNION ALL {})
{}
SELECT (SELECT count(*) FROM (
          SELECT FROM placed GROUP BY stretch
          HAVING sum(events) FILTER (WHERE until IS NULL)
                 IS DISTINCT FROM sum(events) FILTER (WHERE until IS NOT NULL)) e)
       + (SELECT count(DISTINCT v.stretch) FROM (
            SELECT p.stretch FROM placed p JOIN tally.unique_member m USING (set_id)
             GROUP BY p.stretch, m.hi, m.lo
            HAVING count(*) FILTER (WHERE p.until IS NULL) = 0 OR count(p.until) = 0) v))",
                     fmt::format(kWindowsInSpans, "w.set_id, w.events"), kStretches);
}

constexpr const char* kMembersSql = R"(
SELECT count(*) FROM tally.unique_set u
  FULL JOIN (SELECT set_id, count(*) AS members FROM tally.unique_member GROUP BY set_id) m
    USING (set_id)
 WHERE u.members IS DISTINCT FROM coalesce(m.members, 0))";

constexpr const char* kClosedPeriodsSql = R"(
SELECT count(*) FROM (
  SELECT tenant, span, span_start, span_end FROM tally.usage_total
  UNION ALL SELECT tenant, span, span_start, span_end FROM tally.gauge_total
  UNION ALL SELECT tenant, span, span_start, span_end FROM tally.unique_set) t
 WHERE t.span = 'period' AND NOT EXISTS (
       SELECT FROM tally.period_opened o WHERE o.tenant = t.tenant AND o.period_start = t.span_start
          AND o.period_end = t.span_end))";

// Not off: the next commit opens and closes them first.
constexpr const char* kWaitingPeriodsSql = R"(
SELECT count(*) FROM tally.billing_period b
  FULL JOIN tally.period_opened o USING (tenant, period_start)
 WHERE o.period_end IS DISTINCT FROM b.period_end)";

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

void check_records(Transaction& snapshot, Book& book) {
  const Rows rows = snapshot.exec(kRecordsSql);
  const auto value = [&](std::size_t column) { return rows.int64(0, column); };
  book.check("all", "handed off + replays = received + waiting", value(3) + value(4), "=",
             value(5) + value(6));
  // Rows of single meters overflow too, so past a budget only the lower bound can be told.
  book.check("all", "kept rejects + overflow >= rejected + conflict + late", value(0) + value(2),
             ">=", value(1));
  if (value(2) == 0) {
    book.check("all", "kept rejects = rejected + conflict + late", value(0), "=", value(1));
  }
}

void check_windows(Transaction& snapshot, Book& book) {
  const Rows rows = snapshot.exec(kWindowsSql);
  const std::string_view relation = rows.boolean(0, 2) ? ">=" : "=";
  book.check("all", fmt::format("events in the windows {} counted + readmitted", relation),
             rows.int64(0, 0), relation, rows.int64(0, 1));
  book.check("all", "meters whose windows have other events than the meter's ledger",
             rows.int64(0, 3), "=", 0);
  book.check("all", "windows of count meters whose quantity is not their events", rows.int64(0, 4),
             "=", 0);
  book.check("all", "events in windows of overflowing dimensions = their count", rows.int64(0, 5),
             "=", rows.int64(0, 6));
}

void check_totals(Transaction& snapshot, Book& book) {
  const auto none = [&](const char* rule, const std::string& sql) {
    book.check("all", rule, snapshot.exec(sql).int64(0, 0), "=", 0);
  };
  none("days, months, periods of counters that are not the sum of their windows", counters_sql());
  none("days, months, periods of gauges without the reading or events of their windows",
       gauges_sql());
  none("days, months, periods of unique meters without the values or events of their windows",
       uniques_sql());
  none("unique counts that are not the number of their members", kMembersSql);
  none("totals of billing periods that are not open as they stand there", kClosedPeriodsSql);
}

}  // namespace

Verdict verify(Connection& connection, std::ostream& out) {
  Book book;
  std::int64_t waiting = 0;
  {
    Transaction snapshot = connection.begin(Isolation::kRepeatableRead);
    check_partitions(snapshot, book);
    check_records(snapshot, book);
    check_windows(snapshot, book);
    check_totals(snapshot, book);
    waiting = snapshot.exec(kWaitingPeriodsSql).int64(0, 0);
  }
  book.print(out);
  if (waiting > 0) {
    out << fmt::format(
        "Billing periods that changed since the last commit: {}. Their totals follow "
        "with the next one.\n",
        waiting);
  }
  if (book.off() > 0) {
    out << fmt::format("{} of {} lines are OFF: the books do not balance.\n", book.off(),
                       book.size());
    return Verdict::kOff;
  }
  out << fmt::format("All {} lines hold: the books balance.\n", book.size());
  return Verdict::kBalanced;
}

}  // namespace tally::admin
