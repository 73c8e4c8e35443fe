#include "exporter/plan_transaction.h"

#include "core/check.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace tally::exporter {
namespace {

using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Any number of our own; 'tally' in ASCII and a 2.
constexpr std::string_view kLockSql = "SELECT pg_advisory_xact_lock(499984920882)";

constexpr std::string_view kUsedSql =
    "SELECT d.due, (extract(epoch FROM o.event_time) * 1000000)::bigint"
    " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])"
    "      AS d(due, customer, event_name, oldest, newest)"
    " JOIN tally.outbox o ON o.stripe_customer = d.customer AND o.event_name = d.event_name"
    "  AND o.event_time BETWEEN d.oldest AND d.newest"
    " ORDER BY 1, 2";

constexpr std::string_view kPeriodSql =
    "INSERT INTO tally.export_period AS p"
    " (tenant, meter, period_start, period_end, planned, stated, revision, last_event_time)"
    " SELECT tenant, meter, period_start, period_end,"
    "  CASE formula WHEN 'sum' THEN value ELSE 0 END,"
    "  CASE formula WHEN 'last' THEN value END, revision, event_time"
    " FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[],"
    "             $6::numeric[], $7::bigint[], $8::timestamptz[])"
    "  AS n(tenant, meter, period_start, period_end, formula, value, revision, event_time)"
    " ON CONFLICT (tenant, meter, period_start) DO UPDATE SET"
    "  planned = p.planned + excluded.planned, stated = coalesce(excluded.stated, p.stated),"
    "  revision = excluded.revision, hold_reason = NULL, updated_at = now(),"
    "  last_event_time = greatest(p.last_event_time, excluded.last_event_time)"
    " WHERE p.revision = excluded.revision - 1 AND p.period_end = excluded.period_end";

constexpr std::string_view kBirthSql =
    "INSERT INTO tally.outbox (stripe_customer, tenant, meter, event_name, formula, period_start,"
    "  period_end, quantity, value, event_time, identifier, idempotency_key, created_at)"
    " SELECT n.*, $13::timestamptz"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],"
    "  $7::timestamptz[], $8::numeric[], $9::text[], $10::timestamptz[], $11::text[], $12::text[])"
    "  AS n";

constexpr std::string_view kHoldSql =
    "INSERT INTO tally.export_period AS p (tenant, meter, period_start, period_end, hold_reason)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], "
    "$5::text[])"
    " ON CONFLICT (tenant, meter, period_start) DO UPDATE"
    " SET hold_reason = excluded.hold_reason, updated_at = now()"
    " WHERE p.hold_reason IS DISTINCT FROM excluded.hold_reason";

constexpr std::string_view kReleaseSql =
    "UPDATE tally.export_period p SET hold_reason = NULL, updated_at = now()"
    " WHERE hold_reason IS NOT NULL AND period_start >= $4::timestamptz AND NOT EXISTS"
    "  (SELECT FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS h(tenant, meter, start)"
    "   WHERE h.tenant = p.tenant AND h.meter = p.meter AND h.start = p.period_start)";

core::IdentityHasher read_hasher(Transaction& transaction) {
  const Rows rows = transaction.exec("SELECT identity_key FROM tally.deployment");
  if (rows.size() != 1) {
    throw std::runtime_error("tally.deployment has no row: run tally-admin migrate");
  }
  const std::string bytes = rows.bytes(0, 0);
  core::IdentityHasher::Key key{};
  TALLY_CHECK(bytes.size() == key.size(), "identity_key has {} bytes", bytes.size());
  std::memcpy(key.data(), bytes.data(), key.size());
  return core::IdentityHasher(key);
}

OpenSeries read_open_series(Transaction& transaction) {
  const Rows rows = transaction.exec(
      "SELECT stripe_customer, tenant, meter FROM tally.outbox"
      " WHERE state IN ('planned', 'sending', 'uncertain')");
  OpenSeries open;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    open.by_customer.emplace(rows.text(row, 0), rows.text(row, 2));
    open.by_tenant.emplace(rows.text(row, 1), rows.text(row, 2));
  }
  return open;
}

UsedMinutes read_used_minutes(Transaction& transaction, const Totals& totals, const DuePlan& plan) {
  UsedMinutes used;
  if (plan.due.empty()) return used;
  ArrayText indexes;
  ArrayText customers;
  ArrayText names;
  ArrayText oldest;
  ArrayText newest;
  for (std::size_t i = 0; i < plan.due.size(); ++i) {
    const Series& series = totals.series[totals.accounts[plan.due[i].account].series];
    indexes.add(static_cast<std::int64_t>(i));
    customers.add(series.stripe_customer);
    names.add(series.event_name);
    oldest.add(core::to_rfc3339(plan.due[i].minutes.oldest));
    newest.add(core::to_rfc3339(plan.due[i].minutes.newest));
  }
  const Rows rows = transaction.exec(
      std::string(kUsedSql),
      {indexes.take(), customers.take(), names.take(), oldest.take(), newest.take()});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    used[static_cast<std::size_t>(rows.int64(row, 0))].push_back(
        Timestamp::from_micros(rows.int64(row, 1)));
  }
  return used;
}

void write_periods(Transaction& transaction, const Totals& totals,
                   const std::vector<NewRow>& rows) {
  std::array<ArrayText, 8> columns;
  for (const NewRow& row : rows) {
    const Series& series = totals.series[row.series];
    columns[0].add(series.tenant);
    columns[1].add(series.meter);
    columns[2].add(core::to_rfc3339(row.period.start));
    columns[3].add(core::to_rfc3339(row.period.end));
    columns[4].add(core::to_string(series.formula));
    columns[5].add(row.value.to_string());
    columns[6].add(row.revision);
    columns[7].add(core::to_rfc3339(row.event_time));
  }
  runtime::postgres::Params params;
  for (ArrayText& column : columns) params.emplace_back(column.take());
  const std::size_t written = transaction.exec(std::string(kPeriodSql), params).affected();
  TALLY_CHECK(written == rows.size(), "{} of {} periods moved: the planning lock was broken",
              written, rows.size());
}

void write_births(Transaction& transaction, const Totals& totals, const std::vector<NewRow>& rows,
                  Timestamp now) {
  std::array<ArrayText, 12> columns;
  for (const NewRow& row : rows) {
    const Series& series = totals.series[row.series];
    columns[0].add(series.stripe_customer);
    columns[1].add(series.tenant);
    columns[2].add(series.meter);
    columns[3].add(series.event_name);
    columns[4].add(core::to_string(series.formula));
    columns[5].add(core::to_rfc3339(row.period.start));
    columns[6].add(core::to_rfc3339(row.period.end));
    columns[7].add(row.quantity.to_string());
    columns[8].add(row.value.to_string());
    columns[9].add(core::to_rfc3339(row.event_time));
    columns[10].add(row.identifier);
    columns[11].add(row.idempotency_key);
  }
  runtime::postgres::Params params;
  for (ArrayText& column : columns) params.emplace_back(column.take());
  params.emplace_back(core::to_rfc3339(now));
  transaction.exec(std::string(kBirthSql), params);
}

void write_holds(Transaction& transaction, const Totals& totals, const std::vector<Obstacle>& held,
                 Timestamp now) {
  ArrayText tenants;
  ArrayText meters;
  ArrayText starts;
  ArrayText ends;
  ArrayText reasons;
  for (const Obstacle& obstacle : held) {
    const PeriodAccount& account = totals.accounts[obstacle.account];
    tenants.add(totals.series[account.series].tenant);
    meters.add(totals.series[account.series].meter);
    starts.add(core::to_rfc3339(account.period.start));
    ends.add(core::to_rfc3339(account.period.end));
    reasons.add(obstacle.reason);
  }
  const std::string tenant_list = tenants.take();
  const std::string meter_list = meters.take();
  const std::string start_list = starts.take();
  // A period that is no longer read keeps its reason.
  transaction.exec(std::string(kReleaseSql),
                   {tenant_list, meter_list, start_list,
                    core::to_rfc3339(periods_of_interest(now).front().start)});
  transaction.exec(std::string(kHoldSql),
                   {tenant_list, meter_list, start_list, ends.take(), reasons.take()});
}

}  // namespace

PostgresPlanTransaction::PostgresPlanTransaction(runtime::postgres::Connection& connection,
                                                 PlanMode mode)
    : transaction_(connection.begin()) {
  // A statement of its own: what follows takes its snapshots after the lock was given.
  if (mode == PlanMode::kWrite) transaction_.exec(std::string(kLockSql));
}

core::IdentityHasher PostgresPlanTransaction::hasher() { return read_hasher(transaction_); }

OpenSeries PostgresPlanTransaction::open_series() { return read_open_series(transaction_); }

Totals PostgresPlanTransaction::totals(Timestamp now) { return read_totals(transaction_, now); }

UsedMinutes PostgresPlanTransaction::used_minutes(const Totals& totals, const DuePlan& plan) {
  return read_used_minutes(transaction_, totals, plan);
}

void PostgresPlanTransaction::write(const Totals& totals, const std::vector<Obstacle>& held,
                                    const std::vector<NewRow>& rows, Timestamp now) {
  write_holds(transaction_, totals, held, now);
  if (rows.empty()) return;
  write_periods(transaction_, totals, rows);
  write_births(transaction_, totals, rows, now);
}

void PostgresPlanTransaction::commit() { transaction_.commit(); }

}  // namespace tally::exporter
