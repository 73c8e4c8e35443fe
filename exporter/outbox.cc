#include "exporter/outbox.h"

#include "core/check.h"
#include "exporter/plan_transaction.h"

#include <array>
#include <stdexcept>

namespace tally::exporter {
namespace {

using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

constexpr std::string_view kOpenSql =
    "SELECT id, stripe_customer, event_name, value,"
    " (extract(epoch FROM event_time) * 1000000)::bigint, identifier, idempotency_key, key_number,"
    " state, (extract(epoch FROM first_sent_at) * 1000000)::bigint, attempts"
    " FROM tally.outbox WHERE state IN ('planned', 'sending') ORDER BY id";

constexpr std::string_view kAttemptSql =
    "INSERT INTO tally.export_attempt"
    " (outbox_id, attempt, started_at, outcome, http_status, request_id, detail)"
    " SELECT * FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::text[],"
    "                      $5::integer[], $6::text[], $7::text[])"
    " ON CONFLICT (outbox_id, attempt) DO NOTHING";

constexpr std::string_view kUncertainRowsSql =
    "SELECT id, stripe_customer, event_name, formula, value,"
    " (extract(epoch FROM event_time) * 1000000)::bigint,"
    " (extract(epoch FROM last_sent_at) * 1000000)::bigint,"
    " (extract(epoch FROM read_at) * 1000000)::bigint, read_value"
    " FROM tally.outbox WHERE state = 'uncertain' AND last_sent_at IS NOT NULL ORDER BY id";

constexpr std::string_view kFirstReadingSql =
    "UPDATE tally.outbox SET read_at = $2::timestamptz, read_value = $3"
    " WHERE id = $1 AND state = 'uncertain'";

// Each of these takes $1 ids, $2 reasons, $3 times, $4 keys, $5 key numbers, $6 attempts. Who was
// marked again since is another sender's. What was read back goes the same ways from `uncertain`.
constexpr std::string_view kEnds =
    " FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::integer[],"
    "             $6::integer[]) AS e(id, reason, at, key, key_number, attempts)"
    " WHERE o.id = e.id AND o.state = 'sending' AND o.attempts = e.attempts";

constexpr std::string_view kReadEnds =
    " FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS e(id, reason, at)"
    " WHERE o.id = e.id AND o.state = 'uncertain'";

constexpr std::string_view kDeliveredSql =
    "WITH done AS (UPDATE tally.outbox o SET state = 'delivered', reason = e.reason,"
    "  delivered_at = e.at{} RETURNING o.id, o.tenant, o.meter, o.period_start),"
    " calm AS (UPDATE tally.export_period p SET rejections = 0, updated_at = now() FROM done"
    "  WHERE p.rejections > 0 AND p.tenant = done.tenant AND p.meter = done.meter"
    "  AND p.period_start = done.period_start)"
    " SELECT count(*) FROM done";

// The value returns to what is not planned. A gauge is stated anew, be it what an earlier row said:
// a 0 that was read back as nothing may stand after that row.
constexpr std::string_view kRejectedSql =
    "WITH gone AS (UPDATE tally.outbox o SET state = 'rejected', reason = e.reason{}"
    "  RETURNING o.id, o.tenant, o.meter, o.period_start, o.formula, o.value, e.at),"
    " back AS (UPDATE tally.export_period p SET"
    "  planned = p.planned - CASE gone.formula WHEN 'sum' THEN gone.value::numeric ELSE 0 END,"
    "  stated = CASE gone.formula WHEN 'sum' THEN p.stated END,"
    "  rejections = p.rejections + 1, last_rejected_at = gone.at, updated_at = now()"
    "  FROM gone WHERE p.tenant = gone.tenant AND p.meter = gone.meter"
    "  AND p.period_start = gone.period_start)"
    " SELECT count(*) FROM gone";

constexpr std::string_view kUncertainSql =
    "WITH done AS (UPDATE tally.outbox o SET state = 'uncertain', reason = e.reason{}"
    " RETURNING 1) SELECT count(*) FROM done";
constexpr std::string_view kHeldSql =
    "WITH done AS (UPDATE tally.outbox o SET state = 'held', reason = e.reason{}"
    " RETURNING 1) SELECT count(*) FROM done";
// Known not to have arrived: its 23 hours begin with the next send.
constexpr std::string_view kFreeSql =
    "WITH done AS (UPDATE tally.outbox o SET state = 'planned', first_sent_at = NULL,"
    " reason = e.reason{} RETURNING 1) SELECT count(*) FROM done";
constexpr std::string_view kStillSql =
    "WITH done AS (UPDATE tally.outbox o SET idempotency_key = e.key, key_number = e.key_number,"
    " reason = e.reason{} RETURNING 1) SELECT count(*) FROM done";

constexpr std::string_view kMarkSql =
    "UPDATE tally.outbox o SET state = 'sending', attempts = o.attempts + 1,"
    " first_sent_at = coalesce(o.first_sent_at, $3::timestamptz), last_sent_at = $3::timestamptz"
    " FROM unnest($1::bigint[], $2::integer[]) AS e(id, attempts)"
    " WHERE o.id = e.id AND o.attempts = e.attempts AND o.state IN ('planned', 'sending')";

// 'tally' in ASCII and a 1.
constexpr std::string_view kLockSql = "SELECT pg_try_advisory_lock(499984920881)";
constexpr std::string_view kAliveSql = "SELECT 1";

constexpr std::array kStates = {RowState::kDelivered, RowState::kRejected, RowState::kUncertain,
                                RowState::kHeld,      RowState::kSending,  RowState::kPlanned};

std::string_view sql_for(RowState state) {
  switch (state) {
    case RowState::kDelivered:
      return kDeliveredSql;
    case RowState::kRejected:
      return kRejectedSql;
    case RowState::kUncertain:
      return kUncertainSql;
    case RowState::kHeld:
      return kHeldSql;
    case RowState::kPlanned:
      return kFreeSql;
    case RowState::kSending:
      return kStillSql;
  }
  TALLY_CHECK(false, "state {}", static_cast<int>(state));
  return {};
}

void write_attempts(Transaction& transaction, const std::vector<Attempt>& attempts) {
  if (attempts.empty()) return;
  std::array<ArrayText, 7> columns;
  for (const Attempt& attempt : attempts) {
    columns[0].add(attempt.outbox_id);
    columns[1].add(static_cast<std::int64_t>(attempt.number));
    columns[2].add(core::to_rfc3339(attempt.started_at));
    columns[3].add(attempt.outcome);
    attempt.http_status == 0 ? columns[4].add_null()
                             : columns[4].add(static_cast<std::int64_t>(attempt.http_status));
    attempt.request_id.empty() ? columns[5].add_null() : columns[5].add(attempt.request_id);
    attempt.detail.empty() ? columns[6].add_null() : columns[6].add(attempt.detail);
  }
  runtime::postgres::Params params;
  for (ArrayText& column : columns) params.emplace_back(column.take());
  transaction.exec(std::string(kAttemptSql), params);
}

void write_transitions(Transaction& transaction, const std::vector<Transition>& transitions,
                       RowState state) {
  std::array<ArrayText, 6> columns;
  std::size_t count = 0;
  for (const Transition& transition : transitions) {
    if (transition.state != state) continue;
    ++count;
    columns[0].add(transition.id);
    transition.reason.empty() ? columns[1].add_null() : columns[1].add(transition.reason);
    columns[2].add(core::to_rfc3339(transition.at));
    columns[3].add(transition.idempotency_key);
    columns[4].add(static_cast<std::int64_t>(transition.key_number));
    columns[5].add(static_cast<std::int64_t>(transition.attempts));
  }
  if (count == 0) return;
  runtime::postgres::Params params;
  for (ArrayText& column : columns) params.emplace_back(column.take());
  const Rows rows = transaction.exec(fmt::format(fmt::runtime(sql_for(state)), kEnds), params);
  const auto moved = static_cast<std::size_t>(rows.int64(0, 0));
  if (moved != count) {
    throw std::runtime_error(
        fmt::format("{} of {} outbox rows were no longer `sending` when they became `{}`: somebody "
                    "else changed them; they are read again",
                    count - moved, count, to_string(state)));
  }
}

}  // namespace

std::vector<OutboxRow> PostgresStore::open_rows() {
  const Rows rows = connection().exec(std::string(kOpenSql));
  std::vector<OutboxRow> open(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    OutboxRow& one = open[row];
    one.id = rows.int64(row, 0);
    one.stripe_customer = rows.text(row, 1);
    one.event_name = rows.text(row, 2);
    one.value = rows.text(row, 3);
    one.event_time = Timestamp::from_micros(rows.int64(row, 4));
    one.identifier = rows.text(row, 5);
    one.idempotency_key = rows.text(row, 6);
    one.key_number = static_cast<int>(rows.int64(row, 7));
    one.state = rows.text(row, 8) == "planned" ? RowState::kPlanned : RowState::kSending;
    if (!rows.is_null(row, 9)) one.first_sent_at = Timestamp::from_micros(rows.int64(row, 9));
    one.attempts = static_cast<int>(rows.int64(row, 10));
  }
  return open;
}

std::vector<UncertainRow> PostgresStore::uncertain_rows() {
  const Rows rows = connection().exec(std::string(kUncertainRowsSql));
  std::vector<UncertainRow> uncertain(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    UncertainRow& one = uncertain[row];
    one.id = rows.int64(row, 0);
    one.stripe_customer = rows.text(row, 1);
    one.event_name = rows.text(row, 2);
    one.formula = rows.text(row, 3) == "sum" ? Formula::kSum : Formula::kLast;
    const auto value = core::Decimal::parse(rows.text(row, 4));
    TALLY_CHECK(value.has_value(), "tally.outbox holds {}: the exporter wrote no such number",
                rows.text(row, 4));
    one.value = value.value();
    one.event_time = Timestamp::from_micros(rows.int64(row, 5));
    one.last_sent_at = Timestamp::from_micros(rows.int64(row, 6));
    if (!rows.is_null(row, 7)) one.read_at = Timestamp::from_micros(rows.int64(row, 7));
    if (!rows.is_null(row, 8)) one.read_value = std::string(rows.text(row, 8));
  }
  return uncertain;
}

void PostgresStore::settle(const Settlement& settlement) {
  const std::string at = core::to_rfc3339(settlement.at);
  Transaction transaction = connection().begin();
  std::size_t moved = 0;
  if (settlement.state == RowState::kUncertain) {
    moved = transaction
                .exec(std::string(kFirstReadingSql),
                      {std::to_string(settlement.id), at, settlement.read_value})
                .affected();
  } else {
    ArrayText ids;
    ArrayText reasons;
    ArrayText times;
    ids.add(settlement.id);
    reasons.add(settlement.reason);
    times.add(at);
    const Rows rows =
        transaction.exec(fmt::format(fmt::runtime(sql_for(settlement.state)), kReadEnds),
                         {ids.take(), reasons.take(), times.take()});
    moved = static_cast<std::size_t>(rows.int64(0, 0));
  }
  if (moved != 1) {
    throw std::runtime_error(fmt::format(
        "outbox row {} was no longer `uncertain` when it was read back: somebody else changed it",
        settlement.id));
  }
  transaction.commit();
}

OutboxStanding PostgresStore::standing() {
  const Rows rows = connection().exec(
      "SELECT count(*) FILTER (WHERE state = 'planned'), count(*) FILTER (WHERE state = 'sending'),"
      " count(*) FILTER (WHERE state = 'uncertain'), count(*) FILTER (WHERE state = 'held')"
      " FROM tally.outbox WHERE state IN ('planned', 'sending', 'uncertain', 'held')");
  const auto count = [&](std::size_t column) {
    return static_cast<std::size_t>(rows.int64(0, column));
  };
  return {count(0), count(1), count(2), count(3)};
}

void PostgresDeliveryLog::commit(const Report& report, const std::vector<OutboxRow*>& rows,
                                 Timestamp now) {
  Transaction transaction = connection_.begin();
  write_attempts(transaction, report.attempts);
  for (const RowState state : kStates) write_transitions(transaction, report.transitions, state);
  if (!rows.empty()) {
    ArrayText ids;
    ArrayText attempts;
    for (const OutboxRow* row : rows) {
      ids.add(row->id);
      attempts.add(static_cast<std::int64_t>(row->attempts));
    }
    const std::size_t marked =
        transaction
            .exec(std::string(kMarkSql), {ids.take(), attempts.take(), core::to_rfc3339(now)})
            .affected();
    if (marked != rows.size()) {
      throw std::runtime_error(fmt::format(
          "{} of {} outbox rows were no longer open when they were to be sent: somebody "
          "else changed them; nothing was sent, they are read again",
          rows.size() - marked, rows.size()));
    }
  }
  transaction.commit();
}

runtime::postgres::Connection& PostgresStore::connection() {
  if (!connection_ || !connection_->is_open()) {
    connection_ = std::make_unique<runtime::postgres::Connection>(conninfo_, "tally-exporter");
    connection_->exec("SET synchronous_commit = on");
  }
  return *connection_;
}

std::unique_ptr<PlanTransaction> PostgresStore::begin_plan(PlanMode mode) {
  return std::make_unique<PostgresPlanTransaction>(connection(), mode);
}

bool PostgresStore::try_hold() {
  if (!lock_connection_) {
    lock_connection_ =
        std::make_unique<runtime::postgres::Connection>(conninfo_, "tally-exporter lock");
  }
  if (held_) {
    // Throws when the session, and so the lock, is gone.
    lock_connection_->exec(std::string(kAliveSql));
    return true;
  }
  held_ = lock_connection_->exec(std::string(kLockSql)).boolean(0, 0);
  return held_;
}

}  // namespace tally::exporter
