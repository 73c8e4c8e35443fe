#include "aggregator/commit.h"

#include "aggregator/commit_windows.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/timestamp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace tally::aggregator {

namespace {

using core::Timestamp;
using runtime::postgres::ArrayText;
using runtime::postgres::Bytes;
using runtime::postgres::bytes_text;
using runtime::postgres::Transaction;

std::string_view view_of(const RecordDigest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string day_text(LogDay day) {
  return core::to_rfc3339(Timestamp::from_seconds(std::int64_t{day} * 86'400));
}

// And what follows may wait longer for its locks than for those of partitions: other owners add to
// the same totals, each for as long as a large commit takes, and whoever gives up begins anew. One
// that was stopped is ended by the server after 5 s.
void fence(const BatchPlan& plan, Transaction& transaction) {
  ArrayText partition, epoch, generation, start, next, last_offset, last_digest, last_log_time;
  for (const auto& [id, advance] : plan.partitions) {
    TALLY_CHECK(advance.next >= advance.start);
    partition.add(id.value());
    epoch.add(advance.epoch.value());
    generation.add(advance.generation.value());
    start.add(advance.start.value());
    next.add(advance.next.value());
    if (advance.last_offset) {
      TALLY_CHECK(advance.last_digest && advance.last_log_time);
      last_offset.add(advance.last_offset->value());
      last_digest.add(bytes_text(view_of(*advance.last_digest)));
    } else {
      last_offset.add_null();
      last_digest.add_null();
    }
    // A partition that only received handed-off records has a clock and no last record.
    if (advance.last_log_time)
      last_log_time.add(core::to_rfc3339(*advance.last_log_time));
    else
      last_log_time.add_null();
  }
  transaction.exec(
      "SELECT tally.fence($1::bigint, $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], "
      "$6::bigint[], $7::bigint[], $8::bytea[], $9::timestamptz[]), "
      "set_config('lock_timeout', $10 || 's', true)",
      {std::to_string(plan.meters->version().value()), partition.take(), epoch.take(),
       generation.take(), start.take(), next.take(), last_offset.take(), last_digest.take(),
       last_log_time.take(), std::to_string(core::kCommitLockSeconds)});
}

void write_ledger(const BatchPlan& plan, Transaction& transaction) {
  using Column = std::int64_t LedgerDelta::*;
  static constexpr std::array<Column, 14> kColumns = {
      &LedgerDelta::consumed,     &LedgerDelta::received,  &LedgerDelta::handed_off,
      &LedgerDelta::rejected,     &LedgerDelta::unmetered, &LedgerDelta::filtered,
      &LedgerDelta::duplicate,    &LedgerDelta::conflict,  &LedgerDelta::late,
      &LedgerDelta::counted,      &LedgerDelta::skipped,   &LedgerDelta::lost,
      &LedgerDelta::unverifiable, &LedgerDelta::readmitted};
  ArrayText partition, day;
  std::array<ArrayText, kColumns.size()> values;
  for (const auto& [where, line] : plan.ledger) {
    partition.add(where.first.value());
    day.add(day_text(where.second));
    for (std::size_t i = 0; i < kColumns.size(); ++i) values.at(i).add(line.*kColumns.at(i));
  }
  runtime::postgres::Params params = {partition.take(), day.take()};
  for (ArrayText& column : values) params.push_back(column.take());
  transaction.exec(
      "INSERT INTO tally.ledger AS l (partition, log_day, consumed, received, handed_off, "
      "rejected, unmetered, "
      "filtered, duplicate, conflict, late, counted, skipped, lost, unverifiable, readmitted) "
      "SELECT p, (d::timestamptz AT TIME ZONE 'UTC')::date, c1, c2, c3, c4, c5, c6, c7, c8, c9, "
      "c10, c11, c12, c13, c14 "
      "FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], "
      "$6::bigint[], $7::bigint[], "
      "$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], "
      "$14::bigint[], "
      "$15::bigint[], $16::bigint[]) AS t(p, d, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, "
      "c13, c14) "
      "ON CONFLICT (partition, log_day) DO UPDATE SET consumed = l.consumed + excluded.consumed, "
      "received = l.received + excluded.received, handed_off = l.handed_off + excluded.handed_off, "
      "rejected = l.rejected + excluded.rejected, unmetered = l.unmetered + excluded.unmetered, "
      "filtered = l.filtered + excluded.filtered, duplicate = l.duplicate + excluded.duplicate, "
      "conflict = l.conflict + excluded.conflict, late = l.late + excluded.late, "
      "counted = l.counted + excluded.counted, skipped = l.skipped + excluded.skipped, "
      "lost = l.lost + excluded.lost, unverifiable = l.unverifiable + excluded.unverifiable, "
      "readmitted = l.readmitted + excluded.readmitted",
      params);
}

// Under the lowest partition: the fence has locked its row, so no two commits meet here.
void write_meter_ledger(const BatchPlan& plan, Transaction& transaction) {
  std::map<std::uint16_t, std::int64_t> taken;
  const auto add = [&taken](const auto& windows) {
    for (const auto& [key, value] : windows) taken[key.meter] += value.events;
  };
  add(plan.totals.usage);
  add(plan.totals.gauges);
  add(plan.totals.maxima);
  add(plan.totals.minima);
  add(plan.totals.uniques);
  if (taken.empty()) return;
  ArrayText meter, events;
  for (const auto& [index, count] : taken) {
    meter.add(plan.meters->meters()[index].slug);
    events.add(count);
  }
  transaction.exec(
      "INSERT INTO tally.meter_ledger AS l (partition, meter, events) "
      "SELECT $1::integer, * FROM unnest($2::text[], $3::bigint[]) "
      "ON CONFLICT (partition, meter) DO UPDATE SET events = l.events + excluded.events",
      {std::to_string(plan.partitions.begin()->first.value()), meter.take(), events.take()});
}

// The stored form of an entry: hi, then lo, each little-endian.
static_assert(sizeof(core::DedupEntry) == 16 && std::endian::native == std::endian::little);

void take_handoffs(const BatchPlan& plan, Transaction& transaction) {
  for (const auto& [home, rows] : plan.taken) {
    ArrayText ids;
    for (const HandoffTaken& row : rows) ids.add(row.id.value());
    transaction.exec("SELECT tally.take_handoffs($1::integer, $2::bigint[])",
                     {std::to_string(home.value()), ids.take()});
  }
}

void write_handoffs(const BatchPlan& plan, Transaction& transaction) {
  for (const auto& [way, handoff] : plan.handoffs) {
    for (const HandoffBlocks::Block& block : handoff.blocks) {
      transaction.exec(
          "INSERT INTO tally.handoff (source, home, partitions, records, block, first_log_day, "
          "last_log_day) "
          "VALUES ($1::integer, $2::integer, $3::integer, $4::bigint, $5::bytea, "
          "DATE '1970-01-01' + $6::integer, DATE '1970-01-01' + $7::integer)",
          {std::to_string(way.first.value()), std::to_string(way.second.value()),
           std::to_string(plan.topic_partitions), std::to_string(block.records), Bytes{block.bytes},
           std::to_string(block.first_day), std::to_string(block.last_day)});
    }
  }
}

struct Verdicts {
  const RejectRow* last = nullptr;
  std::int64_t count = 0;
};

// By key, each once: of a record that was replayed several times one plan can hold several
// verdicts, and a statement writes a row only once.
std::vector<Verdicts> joined(const std::vector<RejectRow>& rejects) {
  const auto key = [](const RejectRow& row) {
    return std::tie(row.partition, row.offset, row.meter);
  };
  std::vector<const RejectRow*> rows;
  rows.reserve(rejects.size());
  for (const RejectRow& row : rejects) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [&](const RejectRow* a, const RejectRow* b) {
    return std::pair(key(*a), a) < std::pair(key(*b), b);  // of one key in the plan's order
  });
  std::vector<Verdicts> verdicts;
  for (const RejectRow* row : rows) {
    if (verdicts.empty() || key(*verdicts.back().last) != key(*row)) verdicts.emplace_back();
    verdicts.back().last = row;
    ++verdicts.back().count;
  }
  return verdicts;
}

void write_rejects(const BatchPlan& plan, Transaction& transaction) {
  if (plan.rejects.empty()) return;
  ArrayText partition, offset, meter, reject_class, reason, detail, log_time, tenant, key, value,
      headers, verdicts;
  for (const auto& [row, count] : joined(plan.rejects)) {
    partition.add(row->partition.value());
    offset.add(row->offset.value());
    meter.add(row->meter);
    reject_class.add(to_string(row->reject_class));
    reason.add(row->reason);
    detail.add(row->detail);
    log_time.add(core::to_rfc3339(row->log_time));
    if (row->tenant.empty())
      tenant.add_null();
    else
      tenant.add(row->tenant);
    if (row->has_bytes) {
      key.add(bytes_text(row->key));
      value.add(bytes_text(row->value));
      headers.add(bytes_text(row->headers));
    } else {
      key.add_null();
      value.add_null();
      headers.add_null();
    }
    verdicts.add(count);
  }
  // A record that an admin replayed may be refused once more: the last verdict stands, and the
  // bytes that its row has.
  transaction.exec(
      "INSERT INTO tally.reject AS r (topic, partition, record_offset, meter, class, reason, "
      "detail, "
      "log_time, tenant, "
      "record_key, record_value, record_headers, verdicts) "
      "SELECT $1::text, * FROM unnest($2::integer[], "
      "$3::bigint[], "
      "$4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[], "
      "$10::bytea[], $11::bytea[], "
      "$12::bytea[], $13::integer[]) "
      "ON CONFLICT (topic, partition, record_offset, meter) DO UPDATE SET class = excluded.class, "
      "reason = excluded.reason, detail = excluded.detail, tenant = excluded.tenant, "
      "verdicts = r.verdicts + excluded.verdicts",
      {plan.topic, partition.take(), offset.take(), meter.take(), reject_class.take(),
       reason.take(), detail.take(), log_time.take(), tenant.take(), key.take(), value.take(),
       headers.take(), verdicts.take()});
}

void write_ranges(const BatchPlan& plan, Transaction& transaction) {
  for (const OffsetRange& range : plan.reject_overflow) {
    transaction.exec(
        "INSERT INTO tally.reject_overflow (topic, partition, first_offset, last_offset, rows) "
        "VALUES ($1, $2::integer, $3::bigint, $4::bigint, $5::bigint)",
        {plan.topic, std::to_string(range.partition.value()), std::to_string(range.first),
         std::to_string(range.last), std::to_string(range.rows)});
  }
  for (const OffsetRange& range : plan.lost) {
    transaction.exec(
        "INSERT INTO tally.lost_range (partition, first_offset, last_offset) VALUES ($1::integer, "
        "$2::bigint, $3::bigint)",
        {std::to_string(range.partition.value()), std::to_string(range.first),
         std::to_string(range.last)});
  }
  if (plan.meter_rejects.empty()) return;
  ArrayText meter, day, rejects;
  for (const auto& [where, count] : plan.meter_rejects) {
    meter.add(plan.meters->meters()[where.first].slug);
    day.add(day_text(where.second));
    rejects.add(count);
  }
  transaction.exec(
      "INSERT INTO tally.meter_reject_count AS c (meter, log_day, rejects) "
      "SELECT m, (d::timestamptz AT TIME ZONE 'UTC')::date, r FROM unnest($1::text[], $2::text[], "
      "$3::bigint[]) AS t(m, d, r) "
      "ON CONFLICT (meter, log_day) DO UPDATE SET rejects = c.rejects + excluded.rejects",
      {meter.take(), day.take(), rejects.take()});
}

}  // namespace

void write_segments(const BatchPlan& plan, Transaction& transaction) {
  for (const auto& [where, segment] : plan.segments) {
    TALLY_CHECK(segment.token != dedup::SegmentToken{}, "a segment without a token");
    const std::string_view bytes(reinterpret_cast<const char*>(segment.entries.data()),
                                 segment.entries.size() * sizeof(core::DedupEntry));
    transaction.exec(
        "INSERT INTO tally.dedup_segment (partition, log_day, partitions, token, entry_count, "
        "entries) VALUES ($1::integer, DATE '1970-01-01' + $2::integer, $3::integer, $4::uuid, "
        "$5::integer, $6::bytea)",
        {std::to_string(where.first.value()), std::to_string(where.second),
         std::to_string(plan.topic_partitions), segment.token.to_uuid_text(),
         std::to_string(segment.entries.size()), Bytes{bytes}});
  }
}

void execute(const BatchPlan& plan, const StoreObserver& observe, DimensionGuard& guard,
             Transaction& transaction) {
  fence(plan, transaction);
  observe(StoreStep::kFenced);
  take_handoffs(plan, transaction);
  write_ledger(plan, transaction);
  write_meter_ledger(plan, transaction);
  write_handoffs(plan, transaction);
  write_segments(plan, transaction);
  write_windows(plan.totals, *plan.meters, guard, transaction);
  write_rejects(plan, transaction);
  write_ranges(plan, transaction);
}

}  // namespace tally::aggregator
