#include "aggregator/load_tenants.h"

#include "aggregator/totals_store.h"
#include "core/limits.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using core::Timestamp;
using core::Window;
using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

constexpr const char* kUnopened =
    "SELECT EXISTS (SELECT FROM tally.billing_period b FULL JOIN tally.period_opened o "
    "USING (tenant, period_start) WHERE o.period_end IS DISTINCT FROM b.period_end)";

// One session opens and closes, the others find it done; the same lock as tally.open_periods().
constexpr const char* kLockOpened = "LOCK TABLE tally.period_opened IN SHARE ROW EXCLUSIVE MODE";

// A period that was taken back, or begins elsewhere now, goes with its totals: no commit adds to
// them any more. Its windows stay.
constexpr const char* kClose =
    "WITH gone AS (DELETE FROM tally.period_opened o WHERE NOT EXISTS (SELECT FROM "
    "tally.billing_period b WHERE b.tenant = o.tenant AND b.period_start = o.period_start) "
    "RETURNING o.tenant, o.period_start), "
    "usage AS (DELETE FROM tally.usage_total t USING gone g WHERE t.tenant = g.tenant "
    "AND t.span = 'period' AND t.span_start = g.period_start), "
    "gauges AS (DELETE FROM tally.gauge_total t USING gone g WHERE t.tenant = g.tenant "
    "AND t.span = 'period' AND t.span_start = g.period_start), "
    "sets AS (DELETE FROM tally.unique_set t USING gone g WHERE t.tenant = g.tenant "
    "AND t.span = 'period' AND t.span_start = g.period_start RETURNING t.set_id), "
    "members AS (DELETE FROM tally.unique_member m USING sets s WHERE m.set_id = s.set_id) "
    "SELECT count(*) FROM gone";

// Extreme ones can be stored: 'infinity', or the year 294276, whose microseconds do not fit.
void check_periods(Transaction& transaction) {
  const Rows rows = transaction.exec(
      "SELECT tenant, period_start::text, period_end::text FROM tally.billing_period "
      "WHERE period_start < to_timestamp(0) OR period_end >= to_timestamp($1::bigint) "
      "ORDER BY tenant, period_start LIMIT 1",
      {std::to_string(core::kEndOfYear9999Seconds)});
  if (rows.size() == 0) return;
  throw Misconfigured(
      fmt::format("tenant {}: its billing period from {} to {} is outside the years 1970 to 9999: "
                  "correct it in tally.billing_period",
                  rows.text(0, 0), rows.text(0, 1), rows.text(0, 2)));
}

using Periods = std::map<std::string, std::vector<Window>, std::less<>>;

Periods load_periods(Transaction& transaction) {
  const Rows rows = transaction.exec(
      "SELECT tenant, extract(epoch FROM period_start)::bigint, "
      "extract(epoch FROM period_end)::bigint FROM tally.billing_period");
  Periods periods;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    periods[std::string(rows.text(i, 0))].push_back(
        {Timestamp::from_seconds(rows.int64(i, 1)), Timestamp::from_seconds(rows.int64(i, 2))});
  }
  return periods;
}

}  // namespace

void open_periods(Connection& database) {
  if (!database.exec(kUnopened).boolean(0, 0)) return;
  Transaction transaction = database.begin();
  // Whoever changes a period waits for this, and this waited for commits that did not know it.
  transaction.exec("SELECT version FROM tally.catalogue_version FOR SHARE");
  check_periods(transaction);
  transaction.exec(kLockOpened);
  const Rows closed = transaction.exec(kClose);
  const Rows opened = transaction.exec("SELECT tally.open_periods()");
  transaction.commit();
  runtime::log::info("periods_opened",
                     {{"periods", opened.int64(0, 0)}, {"closed", closed.int64(0, 0)}});
}

std::shared_ptr<const TenantBook> load_tenants(Transaction& transaction) {
  if (transaction.exec(kUnopened).boolean(0, 0)) return nullptr;
  check_periods(transaction);
  Periods periods = load_periods(transaction);
  const Rows rows =
      transaction.exec("SELECT tenant, time_zone, stripe_customer IS NOT NULL FROM tally.tenant");
  std::map<std::string, core::TimeZone, std::less<>> zones;
  TenantBook::Calendars calendars;
  calendars.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string name(rows.text(i, 1));
    auto zone = zones.find(name);
    if (zone == zones.end()) {
      auto loaded = core::TimeZone::load(name);
      if (!loaded) {
        throw Misconfigured(fmt::format("tenant {}: {}", rows.text(i, 0), loaded.error().message));
      }
      zone = zones.emplace(name, std::move(loaded).value()).first;
    }
    auto of_tenant = periods.find(rows.text(i, 0));
    calendars.emplace(
        std::string(rows.text(i, 0)),
        core::Calendar(
            zone->second,
            of_tenant == periods.end() ? std::vector<Window>() : std::move(of_tenant->second),
            rows.boolean(i, 2) ? core::Payment::kStripe : core::Payment::kNone));
  }
  return std::make_shared<const TenantBook>(std::move(calendars));
}

}  // namespace tally::aggregator
