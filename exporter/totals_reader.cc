#include "exporter/totals_reader.h"

#include "core/catalogue.h"
#include "core/check.h"
#include "exporter/export_plan.h"

#include <map>
#include <optional>

namespace tally::exporter {
namespace {

using core::Timestamp;
using runtime::postgres::Params;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Microseconds since 1970: exact, and independent of DateStyle.
constexpr std::string_view kSeriesSql =
    "SELECT t.tenant, t.stripe_customer, m.slug, m.definition"
    " FROM tally.tenant t CROSS JOIN tally.meter m"
    " WHERE t.stripe_customer IS NOT NULL AND m.stripe_event_name IS NOT NULL"
    " ORDER BY m.slug, t.tenant";

constexpr std::string_view kCounterSql =
    "SELECT u.tenant, u.meter, sum(u.quantity)::text, NULL"
    " FROM tally.usage_window u"
    " JOIN tally.tenant t ON t.tenant = u.tenant AND t.stripe_customer IS NOT NULL"
    " JOIN tally.meter m ON m.slug = u.meter AND m.stripe_event_name IS NOT NULL"
    " WHERE u.window_start >= $1::timestamptz AND u.window_start < $2::timestamptz"
    " GROUP BY u.tenant, u.meter";

// What a period's largest reading is, per combination of dimensions: it only grows, so it goes as
// increments. Nothing is carried over from the period before.
constexpr std::string_view kMaxSql =
    "SELECT tenant, meter, sum(reading)::text, NULL"
    " FROM (SELECT g.tenant, g.meter, g.dimensions, max(g.reading) AS reading"
    "       FROM tally.gauge_window g"
    "       JOIN tally.tenant t ON t.tenant = g.tenant AND t.stripe_customer IS NOT NULL"
    "       JOIN tally.meter m ON m.slug = g.meter AND m.stripe_event_name IS NOT NULL"
    "        AND m.aggregation = 'max'"
    "       WHERE g.window_start >= $1::timestamptz AND g.window_start < $2::timestamptz"
    "       GROUP BY g.tenant, g.meter, g.dimensions) AS largest"
    " GROUP BY tenant, meter";

// Different values over all dimensions of the period, counted from the windows' sets: the
// aggregator keeps a set for each month of the tenant's zone, and this period is a month in UTC.
constexpr std::string_view kUniqueSql =
    "SELECT tenant, meter, count(*)::text, NULL"
    " FROM (SELECT DISTINCT s.tenant, s.meter, v.hi, v.lo"
    "       FROM tally.unique_set s"
    "       JOIN tally.tenant t ON t.tenant = s.tenant AND t.stripe_customer IS NOT NULL"
    "       JOIN tally.meter m ON m.slug = s.meter AND m.stripe_event_name IS NOT NULL"
    "       JOIN tally.unique_member v ON v.set_id = s.set_id"
    "       WHERE s.span = 'window'"
    "        AND s.span_start >= $1::timestamptz AND s.span_start < $2::timestamptz) AS members"
    " GROUP BY tenant, meter";

// A dimension that had no reading in the period still has its last one.
constexpr std::string_view kGaugeSql =
    "SELECT tenant, meter, sum(reading)::text,"
    " (extract(epoch FROM max(read_at)) * 1000000)::bigint"
    " FROM (SELECT DISTINCT ON (g.tenant, g.meter, g.dimensions)"
    "        g.tenant, g.meter, g.reading, g.read_at"
    "       FROM tally.gauge_window g"
    "       JOIN tally.tenant t ON t.tenant = g.tenant AND t.stripe_customer IS NOT NULL"
    "       JOIN tally.meter m ON m.slug = g.meter AND m.stripe_event_name IS NOT NULL"
    "       WHERE g.window_start < $1::timestamptz"
    "       ORDER BY g.tenant, g.meter, g.dimensions, g.window_start DESC) AS newest"
    " GROUP BY tenant, meter";

constexpr std::string_view kProgressSql =
    "SELECT tenant, meter, planned::text, stated::text, revision,"
    " (extract(epoch FROM last_event_time) * 1000000)::bigint, rejections,"
    " (extract(epoch FROM last_rejected_at) * 1000000)::bigint"
    " FROM tally.export_period WHERE period_start = $1::timestamptz";

using Key = std::pair<std::string, std::string>;  // tenant, meter

core::Decimal stored_number(std::string_view text) {
  const auto number = core::Decimal::parse(text);
  TALLY_CHECK(number.has_value(), "tally.export_period holds {}: the exporter wrote no such number",
              text);
  return number.value();
}

std::optional<Timestamp> micros_or_none(const Rows& rows, std::size_t row, std::size_t column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return Timestamp::from_micros(rows.int64(row, column));
}

std::map<Key, std::size_t> read_series(Transaction& transaction, Totals& totals) {
  const Rows rows = transaction.exec(std::string(kSeriesSql));
  std::map<Key, std::size_t> index;
  std::string parsed_slug;
  std::optional<core::Meter> meter;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string slug(rows.text(row, 2));
    if (slug != parsed_slug) {  // ordered by slug
      parsed_slug = slug;
      auto definition = core::parse_meter(rows.text(row, 3));
      meter.reset();
      if (!definition) {
        totals.not_exported.push_back(fmt::format("meter {}: its definition cannot be read: {}",
                                                  slug, definition.error().message));
      } else if (!definition.value().stripe ||
                 !core::stripe_formula(definition.value().aggregation)) {
        totals.not_exported.push_back(
            fmt::format("meter {}: a min meter is not exported: what falls is no increment", slug));
      } else {
        meter = std::move(definition).value();
      }
    }
    if (!meter.has_value()) continue;
    const core::StripeMapping& mapping = *meter->stripe;
    std::string tenant(rows.text(row, 0));
    index.emplace(Key{tenant, slug}, totals.series.size());
    totals.series.push_back({std::string(rows.text(row, 1)), std::move(tenant), slug,
                             mapping.event_name, *core::stripe_formula(meter->aggregation),
                             mapping.multiplier, mapping.decimals, mapping.rounding});
  }
  return index;
}

std::map<Key, Progress> read_progress(Transaction& transaction, const std::string& period_start) {
  const Rows rows = transaction.exec(std::string(kProgressSql), {period_start});
  std::map<Key, Progress> all;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Progress progress;
    progress.planned = stored_number(rows.text(row, 2));
    if (!rows.is_null(row, 3)) progress.stated = stored_number(rows.text(row, 3));
    progress.revision = rows.int64(row, 4);
    progress.last_event_time = micros_or_none(rows, row, 5);
    progress.rejections = static_cast<int>(rows.int64(row, 6));
    progress.last_rejected_at = micros_or_none(rows, row, 7);
    all.emplace(Key{rows.text(row, 0), rows.text(row, 1)}, progress);
  }
  return all;
}

}  // namespace

std::vector<core::Window> periods_of_interest(Timestamp now) {
  std::vector<core::Window> periods;
  Timestamp moment = Timestamp::from_micros(now.micros() - (kOldestEventSeconds * 1'000'000));
  while (true) {
    const core::Window month = core::utc_month_of(moment);
    periods.push_back(month);
    if (month.end > now) return periods;
    moment = month.end;
  }
}

Totals read_totals(Transaction& transaction, Timestamp now) {
  Totals totals;
  const std::map<Key, std::size_t> index = read_series(transaction, totals);
  for (const core::Window& period : periods_of_interest(now)) {
    const std::string start = core::to_rfc3339(period.start);
    const std::string end = core::to_rfc3339(period.end);
    const std::map<Key, Progress> progress = read_progress(transaction, start);
    const auto take = [&](const Rows& rows, Formula formula) {
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const Key key{rows.text(row, 0), rows.text(row, 1)};
        const auto series = index.find(key);
        if (series == index.end() || totals.series[series->second].formula != formula) continue;
        PeriodAccount account{series->second,
                              period,
                              std::string(rows.text(row, 2)),
                              micros_or_none(rows, row, 3),
                              {}};
        const auto found = progress.find(key);
        if (found != progress.end()) account.progress = found->second;
        totals.accounts.push_back(std::move(account));
      }
    };
    take(transaction.exec(std::string(kCounterSql), {start, end}), Formula::kSum);
    take(transaction.exec(std::string(kMaxSql), {start, end}), Formula::kSum);
    take(transaction.exec(std::string(kUniqueSql), {start, end}), Formula::kSum);
    take(transaction.exec(std::string(kGaugeSql), {end}), Formula::kLast);
  }
  return totals;
}

}  // namespace tally::exporter
